"""Frames, masks and probability maps: from a file to an array."""

from __future__ import annotations

import logging
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

from lsinet_monai.errors import InputError
from lsinet_monai.utils.tensors import describe

__all__ = [
    "FRAME_SUFFIXES",
    "ImageFacts",
    "check_frame",
    "check_frames",
    "check_image",
    "exceeds_8_bits",
    "find_pictures",
    "frame_size",
    "open_image",
    "over_black",
    "read_frame",
    "read_map",
    "resize_frame",
    "to_rgb",
]

logger = logging.getLogger(__name__)

_OPAQUE = 255
_transparent: set[str] = set()
"""Folders of which this process has said that frames are transparent."""

FRAME_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm")
"""The suffixes of frames' file names, in lower or upper case."""

_TIFF_BITS_PER_SAMPLE = 258
_TIFF_KIND, _TIFF_OLD_KIND, _TIFF_DESCRIPTION = 254, 255, 270
_TIFF_NOT_A_PICTURE = 0b101  # bits of the kind: a smaller copy of another page, a mask of another page
_SEVERAL_PICTURES = ("GIF", "PNG", "TIFF", "WEBP")  # formats
# A PNG may say its orientation behind the pixels, in one of these ways.
_PNG_ORIENTATIONS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_PNG_TAIL_BYTES = 2**16
# The last bytes of a complete file, by format. Some encoders add padding, so they may lie anywhere in the tail.
_END_MARKERS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL_BYTES = 32


def exceeds_8_bits(image: Image.Image) -> bool:
    """Return whether a channel has more than 8 bits; Pillow silently cuts them off when it reports the mode RGB."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, 8)
        return bool(np.max(bits) > 8)
    # In a BMP file the raw mode "BGR;16" means 16 bits a pixel: five or six a channel.
    raw_modes = [str(arguments) for *_, arguments in getattr(image, "tile", [])]
    return ";16" in "".join(raw_modes) and image.format != "BMP"


@contextmanager
def open_image(path: str | os.PathLike[str], pictures: bool = False, upright: bool = True) -> Iterator[Image.Image]:
    """Open an image of 8 bits a channel, and raise any failure, also in the caller's block, as an InputError.

    Args:
        path: the file.
        pictures: accept a file of several pictures; see :func:`find_pictures`.
        upright: apply the EXIF orientation.

    Yields:
        The image; decoded only if it was turned.

    Raises:
        InputError: as :func:`read_frame`.
    """
    try:
        with Image.open(path) as image:
            if exceeds_8_bits(image):
                raise InputError(f"{path}: has more than 8 bits a channel; convert it to 8 bits")
            count = len(find_pictures(image))
            if (hidden := _hidden_pictures(image)) > count:
                raise InputError(
                    f"{path}: holds {hidden} pictures behind one page, as ImageJ writes large stacks; save them as an "
                    "AVI, or each as a file"
                )
            if count > 1 and not pictures:
                raise InputError(
                    f"{path}: holds {count} pictures, but one is expected here; give the file as a video of its own, "
                    "or save each picture as a file"
                )
            if upright and _is_turned(image, path):
                ImageOps.exif_transpose(image, in_place=True)
            yield image
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            raise InputError(f"{path}: is empty (0 bytes); replace it") from error
        reason = str(error).replace(f" {str(path)!r}", "").replace("\n", " ")
        raise InputError(f"{path}: cannot be read as an image ({reason}); replace it") from error


def find_pictures(image: Image.Image) -> list[int]:
    """List the pictures of an open image: pages of a TIFF, or pictures of an animated GIF, PNG or WebP.

    Pages that are only a smaller copy or a mask of another page do not count, nor do the previews in a JPEG.

    Returns:
        Numbers for ``image.seek``; one for other images. The image itself stays at its first picture.

    Raises:
        ValueError: the file is damaged; for other kinds of damage, what Pillow raises.
    """
    try:
        return _find_pictures(image)
    except (LookupError, TypeError) as error:
        raise ValueError("its list of pictures is damaged") from error


def _find_pictures(image: Image.Image) -> list[int]:
    if image.format not in _SEVERAL_PICTURES or not getattr(image, "is_animated", False):
        return [0]
    count = getattr(image, "n_frames", 1)
    if image.format != "TIFF":
        # A PNG may begin with a picture for programs that cannot show the others.
        return list(range(int(bool(getattr(image, "default_image", False))), count))
    pages = [page for page in range(count) if _is_picture(image, page)] or [0]
    image.seek(0)
    return pages


def _is_picture(image: Image.Image, page: int) -> bool:
    image.seek(page)
    tags = getattr(image, "tag_v2", {})
    return not (tags.get(_TIFF_KIND, 0) & _TIFF_NOT_A_PICTURE or tags.get(_TIFF_OLD_KIND, 1) == 2)


def _hidden_pictures(image: Image.Image) -> int:
    """Return how many pictures ImageJ's description of a TIFF announces; 0 for other files."""
    description = str(getattr(image, "tag_v2", {}).get(_TIFF_DESCRIPTION, ""))
    found = re.search(r"^images=(\d+)", description, re.MULTILINE) if description.startswith("ImageJ=") else None
    return int(found[1]) if found else 0


def _is_turned(image: Image.Image, path: str | os.PathLike[str]) -> bool:
    """Return whether an EXIF orientation turns or mirrors an open image."""
    if image.format == "PNG" and any(mark in _read_tail(path, _PNG_TAIL_BYTES) for mark in _PNG_ORIENTATIONS):
        image.load()
    return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in range(2, 9)


def over_black(image: Image.Image) -> Image.Image:
    """Lay a transparent image over black."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    black = Image.new("RGB", image.size)
    black.paste(image, mask=image.getchannel("A"))
    return black


def read_frame(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a frame.

    Greyscale, palette and CMYK images become RGB; a transparent image is laid over black. An EXIF orientation is
    applied, to frames and masks alike.

    Args:
        path: an image file of 8 bits a channel.

    Returns:
        uint8, (H, W, 3), RGB.

    Raises:
        InputError: the file is missing, truncated or not an image, holds several pictures, or has more than 8 bits a
            channel.
    """
    with open_image(path) as image:
        if image.has_transparency_data:
            alpha = np.asarray(image.convert("RGBA").getchannel("A"))
            if alpha.min() < _OPAQUE and alpha.any():
                _warn_of_transparency(os.path.dirname(path), os.path.basename(path))
        return to_rgb(image)


def _warn_of_transparency(folder: str, name: str) -> None:
    """Say once for a folder that its frames are transparent in part."""
    if folder not in _transparent:
        _transparent.add(folder)
        logger.warning(
            "%s: is transparent in part, and laid over black, which makes it darker; if its colours are meant without "
            "that, save the folder's frames without transparency", os.path.join(folder, name),
        )  # fmt: skip


def to_rgb(image: Image.Image) -> np.ndarray:
    """Convert an open image, over black where it is transparent, to uint8, (H, W, 3), RGB."""
    return np.array(over_black(image).convert("RGB"))


def read_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a probability map that was saved as an image.

    Args:
        path: an image file of 8 bits a channel, of any mode; colours become grey.

    Returns:
        uint8, (H, W): the probability times 255.

    Raises:
        InputError: as :func:`read_frame`.
    """
    with open_image(path) as image:
        return np.asarray(over_black(image).convert("L"))


def frame_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Read the size of a frame or mask from the file's header, mostly without decoding the pixels.

    Args:
        path: an image file of 8 bits a channel.

    Returns:
        Height and width in pixels, upright.

    Raises:
        InputError: as :func:`read_frame`, except for truncated files; :func:`check_frame` finds these.
    """
    with open_image(path) as image:
        return image.height, image.width


@dataclass(frozen=True)
class ImageFacts:
    """What a check of an image file finds."""

    size: tuple[int, int]
    """Height and width in pixels, upright."""
    is_turned: bool
    """Whether an EXIF orientation turns or mirrors the stored pixels."""


def check_frame(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Check a frame or mask as :func:`check_image` does, and return its height and width in pixels, upright."""
    return check_image(path).size


def check_image(path: str | os.PathLike[str]) -> ImageFacts:
    """Check that a frame or mask can be read, and decode it only if necessary.

    A JPEG file counts as complete if its end marker is there; decoding would not reveal more. A PNG file's checksums
    are verified. Any other file is decoded.

    Args:
        path: an image file of 8 bits a channel.

    Raises:
        InputError: as :func:`read_frame`.
    """
    with open_image(path, upright=False) as image:
        marker = _END_MARKERS.get(image.format or "")
        is_turned = _is_turned(image, path)
        size = image.height, image.width
        if is_turned:
            ImageOps.exif_transpose(image, in_place=True)
            size = image.height, image.width
        elif marker is None or marker not in _read_tail(path, _TAIL_BYTES):
            image.load()
        elif image.format == "PNG":
            _verify_png(path)
        return ImageFacts(size, is_turned)


def _verify_png(path: str | os.PathLike[str]) -> None:
    with Image.open(path) as image:  # opened again: verify() needs an image that nothing has read
        image.verify()


def _read_tail(path: str | os.PathLike[str], count: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(count, os.path.getsize(path)), os.SEEK_END)
        return file.read()


def resize_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a frame or a grey mask with Pillow: bilinear, antialiased, and stretched to the new aspect ratio.

    Args:
        frame: uint8, (H, W, 3) or (H, W).
        size: height and width of the result in pixels.

    Returns:
        uint8, (height, width, 3) or (height, width).
    """
    height, width = size
    return np.array(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def check_frames(frames: Sequence[object]) -> None:
    """Check frames.

    Raises:
        InputError: there are none, or one is not an array, uint8, (H, W, 3).
    """
    kinds = (isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 3 and x.shape[2] == 3 for x in frames)
    wrong = next((frame for frame, is_rgb in zip(frames, kinds, strict=True) if not is_rgb), None)
    if wrong is not None or len(frames) == 0:
        given = "none" if wrong is None else describe(wrong)
        raise InputError(f"frames must be arrays, uint8 (H, W, 3), RGB from 0 to 255, got {given}")
