"""From the bytes of a frame in a DICOM file to RGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from lsinet_monai.data.jpeg2000 import CODESTREAM, transforms_colours
from lsinet_monai.data.video.dicom_header import RLE, Header
from lsinet_monai.errors import InputError

__all__ = ["frame_bytes", "jpeg_of", "pixels_of"]

_MODES = {"MONOCHROME1": "L", "MONOCHROME2": "L", "RGB": "RGB", "YBR_FULL": "YCbCr"}  # Pillow's modes
_HALVED, _PALETTE = "YBR_FULL_422", "PALETTE COLOR"
# The other terms of DICOM PS3.3, C.7.6.3.1.2. Any other text may be a part of a damaged file that names the patient.
_KNOWN = {"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "HSV", "ARGB", "CMYK", "XYB"}

_FULL_SIZE = 0  # Pillow's number for components of one size


def frame_bytes(header: Header) -> int:
    """Return the size of an uncompressed frame."""
    samples = 2 if header.photometric == _HALVED and header.samples == 3 else header.samples
    return header.rows * header.columns * samples


def pixels_of(path: Path, header: Header) -> Callable[[bytes], Image.Image]:
    """Return a function that makes an image of an uncompressed or run-length encoded frame's bytes.

    Raises:
        InputError: the file has other than 8 bits a sample, values below 0, or colours that cannot be converted.
    """
    kind = header.photometric
    is_known = kind in (*_MODES, _HALVED) or (kind == _PALETTE and header.palette is not None)
    samples = 3 if kind in ("RGB", "YBR_FULL", _HALVED) else 1
    is_odd = kind == _HALVED and (header.columns % 2 or header.syntax == RLE)
    if not is_known or header.bits != 8 or header.samples != samples or is_odd:
        name = kind if is_known or kind in _KNOWN else "other"
        raise InputError(
            f"{path}: has {header.samples} samples of {header.bits} bits a pixel, photometric interpretation {name}; "
            "convert it to RGB of 8 bits"
        )
    if header.stored_bits != header.bits or header.is_signed:
        sign = "with a sign" if header.is_signed else "without a sign"
        raise InputError(
            f"{path}: uses {header.stored_bits} of the {header.bits} bits of a sample, {sign}; convert it to RGB of 8 "
            "bits without a sign"
        )

    def image(data: bytes) -> Image.Image:
        pixels = _unpack_run_lengths(data, header) if header.syntax == RLE else _unpack(data, header)
        if header.palette is not None:
            return Image.fromarray(header.palette[pixels])
        # Not Image.fromarray, whose argument for the mode is deprecated.
        mode = "YCbCr" if kind == _HALVED else _MODES[kind]
        return Image.frombytes(mode, (header.columns, header.rows), np.ascontiguousarray(pixels).tobytes())

    return image


def _unpack(data: bytes, header: Header) -> np.ndarray:
    """Arrange an uncompressed frame's bytes as (rows, columns) or (rows, columns, samples), uint8."""
    pixels = np.frombuffer(data, np.uint8)
    shape = header.rows, header.columns
    if header.photometric == _HALVED:  # two brightnesses, then the colour that both share
        pairs = pixels.reshape(header.rows, header.columns // 2, 4)
        colour = np.repeat(pairs[..., 2:], 2, axis=1)
        return np.concatenate([pairs[..., :2].reshape(*shape, 1), colour], axis=2)
    if header.samples == 1:
        return pixels.reshape(shape)
    return pixels.reshape(-1, *shape).transpose(1, 2, 0) if header.planar else pixels.reshape(*shape, -1)


def _unpack_run_lengths(data: bytes, header: Header) -> np.ndarray:
    """Decode one run-length encoded frame with pydicom, from a dataset of this frame alone."""
    frame: Any = Dataset()
    frame.file_meta = FileMetaDataset()
    frame.file_meta.TransferSyntaxUID = RLE
    frame.is_little_endian, frame.is_implicit_VR = True, False
    frame.Rows, frame.Columns, frame.SamplesPerPixel = header.rows, header.columns, header.samples
    frame.PhotometricInterpretation = header.photometric
    frame.BitsAllocated, frame.BitsStored, frame.HighBit, frame.PixelRepresentation = 8, 8, 7, 0
    frame.NumberOfFrames = 1
    if header.samples > 1:
        frame.PlanarConfiguration = 1
    frame.PixelData = encapsulate([data])
    frame["PixelData"].VR, frame["PixelData"].is_undefined_length = "OB", True
    try:
        return np.asarray(frame.pixel_array)
    except Exception:  # pydicom may raise any error with a damaged frame
        raise ValueError("a damaged frame") from None


def jpeg_of(header: Header) -> Callable[[bytes], Image.Image]:
    """Return a function that decodes a JPEG or JPEG 2000 frame.

    A bare JPEG 2000 codestream does not name its components. A decoder undoes the transform to YCbCr that is part of
    the codestream. Without it, the DICOM header says what they are.
    """

    def image(data: bytes) -> Image.Image:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG", "JPEG2000"))
        # If nothing in a JPEG names its components, libjpeg assumes YCbCr; the DICOM header knows better, unless some
        # components are stored at a smaller size, as only colours are.
        is_unnamed = isinstance(picture, JpegImageFile) and not {"jfif", "adobe"} & picture.info.keys()
        if is_unnamed and header.photometric == "RGB" and picture.mode == "RGB" and get_sampling(picture) == _FULL_SIZE:
            picture.draft("YCbCr", picture.size)
            picture.load()
            picture = Image.frombytes("RGB", picture.size, picture.tobytes())
        is_ybr = header.photometric in ("YBR_FULL", _HALVED) and picture.mode == "RGB"
        if is_ybr and data.startswith(CODESTREAM) and not transforms_colours(data):
            picture = Image.frombytes("YCbCr", picture.size, picture.tobytes())
        return picture

    return image
