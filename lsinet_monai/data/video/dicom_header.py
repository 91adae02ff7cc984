"""The attributes of a DICOM file that its frames need, and where its pixel data lies.

No patient attribute is kept or is in an error.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pydicom
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.tag import Tag

from lsinet_monai.errors import InputError

try:
    from pydicom.pixels.processing import apply_color_lut  # pydicom 3
except ImportError:
    from pydicom.pixel_data_handlers.util import apply_color_lut

__all__ = ["BIG_ENDIAN", "MOST_INFLATED", "RLE", "UNCOMPRESSED", "Header", "read_header"]

# Transfer syntaxes.
_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
UNCOMPRESSED = (_IMPLICIT, _EXPLICIT, _DEFLATED, BIG_ENDIAN)

MOST_INFLATED = 2**31
"""A deflated file is held in memory. Readers accept one that inflates to up to this many bytes: 2 GiB."""

_MOST_FRAMES = 5_000_000
_META_START = 128 + 4 + 12  # bytes: preamble, mark, and the element with the length of the rest of the file meta group
_PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_DESCRIPTOR = "RedPaletteColorLookupTableDescriptor"
_PALETTES = [
    f"{kind}{colour}PaletteColorLookupTableData" for kind in ("", "Segmented") for colour in ("Red", "Green", "Blue")
]
_ATTRIBUTES = (
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "PixelRepresentation",
    "BitsAllocated",
    "BitsStored",
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "RecommendedDisplayFrameRate",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *_PALETTES,
)


class _Place(NamedTuple):
    """The value of the pixel data."""

    start: int
    length: int | None
    has_words: bool  # of two bytes


@dataclass(frozen=True)
class Header:
    """The attributes of a file's frames, and the position of its pixel data."""

    syntax: str
    frames: int | None
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits: int
    stored_bits: int
    """How many of these bits a sample uses."""
    is_signed: bool
    palette: np.ndarray | None
    """uint8, (256, 3): the colour of each pixel value; None if there is no palette."""
    fps: float | None
    frame_times: tuple[float, ...]
    """Milliseconds since the frame before; empty if unknown."""
    start: int
    """Of the pixel data's value, in bytes."""
    length: int | None
    """Of the pixel data in bytes; None if encapsulated."""
    is_swapped: bool
    """Whether the pixel data consists of words of two bytes, the second one first."""
    open: Callable[[], BinaryIO]
    """Opens what ``start`` is a position in: the file, or its inflated content."""


def read_header(path: Path) -> Header:
    """Read the attributes.

    Raises:
        InputError: the file is damaged, lacks what a video needs, or inflates to too much.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote values
            syntax = str(read_file_meta_info(path).TransferSyntaxUID)
            if syntax == _DEFLATED:
                return _read_inflated(_inflate(path), syntax)
            with path.open("rb") as file:
                dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_ATTRIBUTES))
                place = _find_pixel_data(file, syntax)
            return _to_header(dataset, syntax, place, lambda: path.open("rb"))
    except InputError:
        raise
    # With a damaged file pydicom may raise any error, and its text may quote the patient's attributes.
    except Exception:
        raise InputError(f"{path}: its DICOM header is damaged or lacks what a video needs; replace it") from None


def _read_inflated(content: bytes, syntax: str) -> Header:
    file = io.BytesIO(content)
    tags = [Tag(name) for name in _ATTRIBUTES]
    dataset = read_dataset(file, False, True, stop_when=lambda tag, *_: tag == _PIXEL_DATA, specific_tags=tags)
    dataset.is_little_endian = True
    place = _find_pixel_data(file, syntax)
    pixels = content[place.start :]  # without the patient's attributes
    return _to_header(dataset, syntax, place._replace(start=0), lambda: io.BytesIO(pixels))


def _inflate(path: Path) -> bytes:
    start = _META_START + int(read_file_meta_info(path).FileMetaInformationGroupLength)
    with path.open("rb") as file:
        file.seek(start)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        content = inflater.decompress(file.read(), MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise InputError(f"{path}: inflates to more than {MOST_INFLATED} bytes; convert it, for instance with dcmconv")
    return content


def _to_header(dataset: Any, syntax: str, place: _Place, open_file: Callable[[], BinaryIO]) -> Header:
    times = dataset.get("FrameTimeVector")
    times = [] if times is None else times if isinstance(times, Sequence | pydicom.multival.MultiValue) else [times]
    rate = next((float(rate) for rate in map(dataset.get, ("CineRate", "RecommendedDisplayFrameRate")) if rate), 0.0)
    if dataset.get("FrameTime"):
        rate = 1000 / float(dataset.FrameTime)
    frames = int(dataset.get("NumberOfFrames") or 0)
    if not 0 <= frames <= _MOST_FRAMES:
        raise ValueError
    return Header(
        syntax=syntax,
        frames=frames or None,
        rows=int(dataset.get("Rows") or 0),
        columns=int(dataset.get("Columns") or 0),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        photometric=str(dataset.get("PhotometricInterpretation")),
        planar=dataset.get("PlanarConfiguration") == 1,
        bits=(bits := int(dataset.get("BitsAllocated") or 8)),
        stored_bits=int(dataset.get("BitsStored") or bits),
        is_signed=dataset.get("PixelRepresentation") == 1,
        palette=_read_palette(dataset, syntax),
        fps=rate if 0 < rate < 10_000 else None,
        frame_times=tuple(map(float, times)),
        start=place.start,
        length=place.length,
        is_swapped=place.has_words and syntax == BIG_ENDIAN,
        open=open_file,
    )


def _read_palette(dataset: Any, syntax: str) -> np.ndarray | None:
    """Read the palette (DICOM PS3.3, C.7.6.3.1.5 and C.7.6.3.1.6), as (256, 3) uint8."""
    if dataset.get("PhotometricInterpretation") != "PALETTE COLOR" or not dataset.get(_DESCRIPTOR):
        return None
    bits = int(dataset[_DESCRIPTOR].value[2])
    if syntax == BIG_ENDIAN:
        for name in _PALETTES[:3]:  # pydicom swaps the bytes of segmented palettes only
            if data := dataset.get(name):
                setattr(dataset, name, np.frombuffer(data, np.uint16).byteswap().tobytes())
    table = np.asarray(apply_color_lut(np.arange(256, dtype=np.uint16), dataset))[:, :3]
    # Some programs write 8 bits but say 16.
    return (table >> 8 if bits > 8 and table.max() > 255 else table).astype(np.uint8)


def _find_pixel_data(file: BinaryIO, syntax: str) -> _Place:
    """Find the pixel data; the file is where pydicom stopped, before the element's tag."""
    is_explicit, order = syntax != _IMPLICIT, "big" if syntax == BIG_ENDIAN else "little"
    size = 12 if is_explicit else 8
    head = file.read(size)
    words = [int.from_bytes(head[at : at + 2], order) for at in (0, 2)]  # type: ignore[arg-type]
    if words[0] << 16 | words[1] != _PIXEL_DATA or len(head) < size:
        raise ValueError
    length = int.from_bytes(head[-4:], order)  # type: ignore[arg-type]
    return _Place(file.tell(), None if length == _UNDEFINED else length, is_explicit and head[4:6] == b"OW")
