"""The picture in a mask's file: greys, the indices of a palette, colours, or transparency."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageChops

from lsinet_monai.data.frames import open_image, over_black
from lsinet_monai.data.jpeg2000 import is_reversible
from lsinet_monai.errors import InputError

__all__ = ["BLACK", "FEW_VALUES", "MaskPicture", "Value", "as_list", "as_text", "in_order", "read_mask_picture"]

Value = int | tuple[int, int, int]
"""The value of a pixel: a grey, an opacity or the index of a palette, from 0 to 255; or red, green and blue."""

BLACK = (0, 0, 0)

FEW_VALUES = 8
"""Noise and soft edges have more."""

_LOSSY = ("JPEG", "MPO")
_RIFF_START = 12  # bytes before the first chunk
_MOST_COLOURS = 256
_VALUES_NAMED = 8
_COMPRESSION_TINT = 16  # the difference of two channels in a JPEG file of a grey picture is at most about this


def as_text(value: Value) -> str:
    """Write a value as ``mask_values`` takes it: ``1`` or ``rgb(250,50,83)``."""
    return str(value) if isinstance(value, int) else "rgb({},{},{})".format(*value)


def as_list(values: Collection[Value]) -> str:
    """List values for a message, shortened."""
    ordered = in_order(values)
    some = ", ".join(map(as_text, ordered[:_VALUES_NAMED]))
    return some + (f" and {len(ordered) - _VALUES_NAMED} more" if len(ordered) > _VALUES_NAMED else "")


def in_order(values: Iterable[Value]) -> list[Value]:
    """Sort values: numbers, then colours."""
    return sorted(values, key=lambda value: (0, (value,)) if isinstance(value, int) else (1, value))


@dataclass(frozen=True)
class MaskPicture:
    """A decoded mask, whose pixels are not yet polyp or background."""

    path: str
    """The file."""
    kind: Literal["grey", "opacity", "palette", "colour"]
    """What a value is. A palette of greys counts as grey, and so does a colour picture without colour. It is opacity if
    all that can be seen is black."""
    pixels: np.ndarray
    """uint8, (H, W) for greys, opacities and indices, (H, W, 3) for colours, RGB."""
    lossy: bool
    """Whether the compression may have changed values."""
    palette: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """The colours of the indices in use; empty unless the kind is palette."""

    @cached_property
    def counts(self) -> Mapping[Value, int] | None:
        """The number of pixels with each value; None if there are more than 256 colours."""
        if self.kind == "colour":
            colours = Image.fromarray(self.pixels).getcolors(_MOST_COLOURS)
            return None if colours is None else {_as_colour(colour): count for count, colour in colours}
        return _counts(self.pixels)

    @cached_property
    def colour_counts(self) -> Mapping[tuple[int, int, int], int] | None:
        """As :attr:`counts`, by colour: two indices of a palette may have the same."""
        if self.counts is None:
            return None
        by_colour: Counter[tuple[int, int, int]] = Counter()
        for value, count in self.counts.items():
            colour = self.palette.get(value, (value,) * 3) if isinstance(value, int) else value
            by_colour[colour] += count
        return by_colour

    @cached_property
    def histogram(self) -> np.ndarray:
        """The number of pixels with each :attr:`brightness`: (256,)."""
        return np.array(Image.fromarray(self.brightness).histogram())

    @cached_property
    def brightness(self) -> np.ndarray:
        """The grey, the opacity or the brightest channel of each pixel: uint8, (H, W)."""
        return self.colours.max(axis=2) if self.kind in ("colour", "palette") else self.pixels

    @cached_property
    def colours(self) -> np.ndarray:
        """The colour of each pixel: uint8, (H, W, 3), RGB; of an opacity its grey."""
        if self.kind == "colour":
            return self.pixels
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        for index, colour in self.palette.items():
            table[index] = colour
        return table[self.pixels]

    @property
    def content(self) -> str:
        """What the picture holds, for a message."""
        if self.counts is None:
            return f"more than {_MOST_COLOURS} colours"
        what = {"grey": "greys", "opacity": "opacities", "palette": "indices of a palette", "colour": "colours"}
        return f"{what[self.kind]} ({as_list(self.counts)})"

    @property
    def is_black(self) -> bool:
        """Whether nothing is drawn: all pixels are 0, or transparent."""
        return self.kind in ("grey", "opacity") and not self.pixels.any()


def read_mask_picture(path: str | os.PathLike[str]) -> MaskPicture:
    """Decode a mask's file.

    A transparent picture is laid over black. If it then is black everywhere, its opacity counts. If nothing of it can
    be seen, it must not hide several colours: they may be a polyp.

    Args:
        path: an image file of 8 bits a channel, of any mode.

    Raises:
        InputError: as :func:`~lsinet_monai.data.read_frame`; or several colours are hidden.
    """
    with open_image(path) as image:
        lossy = _is_lossy(path, image)
        opacity = _opacity(image)
        if opacity is not None and not opacity.any() and _has_colours(image):
            raise InputError(
                f"{path}: every pixel is transparent, but hides a picture of several colours: save the mask without "
                "transparency"
            )
        if image.mode == "P":
            return _read_palette(str(path), image, lossy)
        image = over_black(image)
        if image.mode == "1":
            image = image.convert("L")
        if image.mode != "L":
            image = image.convert("RGB")
            if _tint(image) <= (_COMPRESSION_TINT if lossy else 0):
                image = image.convert("L")
        pixels = np.asarray(image)
        if opacity is not None and not pixels.any():
            return MaskPicture(str(path), "opacity", opacity, lossy)
        return MaskPicture(str(path), "grey" if pixels.ndim == 2 else "colour", pixels, lossy)


def _is_lossy(path: str | os.PathLike[str], image: Image.Image) -> bool:
    if image.format == "WEBP":
        return not _is_lossless_webp(path)
    if image.format == "JPEG2000":
        # A reversible file that was cut to a size looks the same, but holds noise.
        return not is_reversible(Path(path).read_bytes()) or image.getcolors(FEW_VALUES) is None
    return image.format in _LOSSY or image.info.get("compression") == "jpeg"


def _is_lossless_webp(path: str | os.PathLike[str]) -> bool:
    """Whether a WebP file holds a lossless picture: a chunk ``VP8L``, and not ``VP8`` (RFC 9649, section 2)."""
    with open(path, "rb") as file:
        file.seek(_RIFF_START)
        while len(head := file.read(8)) == 8:
            if head[:4] == b"VP8L":
                return True
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _opacity(image: Image.Image) -> np.ndarray | None:
    """The alpha channel of a picture that is not wholly opaque."""
    if not image.has_transparency_data:
        return None
    opacity = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if opacity.min() == 255 else opacity


def _has_colours(image: Image.Image) -> bool:
    """Whether a picture has several colours, however transparent."""
    return any(low != high for low, high in image.convert("RGBA").convert("RGB").getextrema())  # type: ignore


def _as_colour(colour: Any) -> tuple[int, int, int]:
    red, green, blue = colour
    return red, green, blue


def _counts(pixels: np.ndarray) -> dict[Value, int]:
    return {value: count for value, count in enumerate(Image.fromarray(pixels).histogram()) if count}


def _tint(image: Image.Image) -> int:
    """The largest difference between two channels of an RGB picture."""
    red, green, blue = image.split()
    pairs = ((red, green), (green, blue), (red, blue))
    return max(int(ImageChops.difference(one, other).getextrema()[1]) for one, other in pairs)  # type: ignore


def _read_palette(path: str, image: Image.Image, lossy: bool) -> MaskPicture:
    indices = np.asarray(image)
    table = _colour_table(image)
    used = np.flatnonzero(image.histogram()).tolist()
    palette = {index: table[index] for index in used}
    # A grey palette only compresses the picture. Not so if two indices look alike: then they tell more than their grey.
    is_grey = all(len(set(colour)) == 1 and table.index(colour) == index for index, colour in palette.items())
    if is_grey:
        greys = np.array([colour[0] for colour in table], np.uint8)
        return MaskPicture(path, "grey", greys[indices], lossy)
    return MaskPicture(path, "palette", indices, lossy, palette)


def _colour_table(image: Image.Image) -> list[tuple[int, int, int]]:
    """The 256 colours of a palette, over black where they are transparent."""
    ramp = Image.new("P", (256, 1))
    ramp.putdata(range(256))
    ramp.putpalette(image.getpalette("RGB") or [])
    if "transparency" in image.info:
        ramp.info["transparency"] = image.info["transparency"]
    return [(int(r), int(g), int(b)) for r, g, b in np.asarray(over_black(ramp).convert("RGB"))[0]]
