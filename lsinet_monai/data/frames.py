"""Frames and masks: from a file to an array, and from arrays to what the network takes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

from lsinet_monai.errors import InputError

__all__ = [
    "FRAME_SUFFIXES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "check_frame",
    "frame_size",
    "frames_to_tensor",
    "read_frame",
    "read_map",
    "read_mask",
    "resize_frame",
    "tensor_to_frame",
]

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""File names of frames end with one of these, in lower or upper case."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pixels, red, green, blue, in [0, 1]: the encoder's weights expect it subtracted."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's pixels, red, green, blue, in [0, 1]."""

_MASK_THRESHOLD = 128
_TIFF_BITS_PER_SAMPLE = 258
# What a complete file ends with. Some encoders pad after it, hence a few bytes of tail rather than the very last ones.
_END_MARKERS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL_BYTES = 32


def _exceeds_8_bits(image: Image.Image) -> bool:
    """Whether a channel has more than 8 bits, which Pillow cuts off without a word when the mode it gives is RGB."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, 8)
        return bool(np.max(bits) > 8)
    # A BMP's raw mode "BGR;16" means 16 bits a pixel, five or six a channel.
    raw_modes = [str(arguments) for *_, arguments in getattr(image, "tile", [])]
    return ";16" in "".join(raw_modes) and image.format != "BMP"


@contextmanager
def _open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image of 8 bits a channel; what fails here or in the block below comes out as an InputError."""
    try:
        with Image.open(path) as image:
            if _exceeds_8_bits(image):
                raise InputError(f"{path}: has more than 8 bits a channel; convert it to 8 bits")
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


def _over_black(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    black = Image.new("RGB", image.size)
    black.paste(image, mask=image.getchannel("A"))
    return black


def read_frame(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a frame.

    Greyscale, palette and CMYK images become RGB; a transparent one is laid over black. An EXIF orientation is not
    applied: a frame is taken as its pixels are stored, as its mask is.

    Args:
        path: an image file of 8 bits a channel.

    Returns:
        uint8, (H, W, 3), RGB.

    Raises:
        InputError: the file is missing, truncated, no image, or has more than 8 bits a channel.
    """
    with _open_image(path) as image:
        return np.array(_over_black(image).convert("RGB"))


def read_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a probability map that was saved as an image.

    Args:
        path: an image file of 8 bits a channel, of any mode; it is converted to grey.

    Returns:
        uint8, (H, W): the probability times 255.

    Raises:
        InputError: as :func:`read_frame`.
    """
    with _open_image(path) as image:
        return np.asarray(_over_black(image).convert("L"))


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mask: what is brighter than 128 of 255, once converted to grey, is polyp.

    Args:
        path: an image file of 8 bits a channel, of any mode.

    Returns:
        bool, (H, W), True for polyp.

    Raises:
        InputError: as :func:`read_frame`.
    """
    return read_map(path) > _MASK_THRESHOLD


def frame_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Read the size of a frame or mask from the file's header, without decoding it.

    Args:
        path: an image file of 8 bits a channel.

    Returns:
        height and width in pixels.

    Raises:
        InputError: as :func:`read_frame`, but a truncated file goes unnoticed; see :func:`check_frame`.
    """
    with _open_image(path) as image:
        return image.height, image.width


def check_frame(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Find out whether a frame or mask can be read, without decoding it where that can be avoided.

    A JPEG file that ends as its format wants it is taken to be complete: no more can be told of it, decoded or not. A
    PNG file's checksums are verified, and any other file is decoded.

    Args:
        path: an image file of 8 bits a channel.

    Returns:
        height and width in pixels.

    Raises:
        InputError: as :func:`read_frame`.
    """
    with _open_image(path) as image:
        marker = _END_MARKERS.get(image.format or "")
        size = image.height, image.width
        if marker is None or marker not in _read_tail(path):
            image.load()
        elif image.format == "PNG":
            image.verify()
        return size


def _read_tail(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(_TAIL_BYTES, os.path.getsize(path)), os.SEEK_END)
        return file.read()


def resize_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a frame or a grey mask as Pillow does: bilinear, antialiased, the aspect not kept.

    Args:
        frame: uint8, (H, W, 3) or (H, W).
        size: height and width wanted, in pixels.

    Returns:
        uint8, (height, width, 3) or (height, width).
    """
    height, width = size
    return np.array(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def frames_to_tensor(frames: Sequence[np.ndarray], image_size: int | Sequence[int]) -> torch.Tensor:
    """Bring frames to the network's size and to the statistics that its encoder was trained with.

    The constants are fixed, so that a frame's brightness does not depend on its neighbours.

    Args:
        frames: T frames, uint8, (H, W, 3), RGB; their sizes may differ.
        image_size: side, or height and width, of the result in pixels.

    Returns:
        float32, (3, T, height, width): in [0, 1] less ImageNet's mean, over its standard deviation.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    clip = torch.from_numpy(np.stack([resize_frame(frame, (height, width)) for frame in frames]))
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (
        clip.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255).sub_(mean).div_(std)
    )


def tensor_to_frame(frame: torch.Tensor) -> np.ndarray:
    """Undo the normalisation of :func:`frames_to_tensor`, for pictures: float (3, H, W) -> uint8 (H, W, 3), RGB."""
    pixels = frame.detach().cpu().float().movedim(0, -1).numpy()
    scaled = pixels * np.array(IMAGENET_STD, np.float32) + np.array(IMAGENET_MEAN, np.float32)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
