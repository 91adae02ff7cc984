"""What DICOM files hold, for the tests of their reader: transfer syntaxes, encoded frames, palettes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lsinet_monai.data import open_video

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
JPEG, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
MPEG2, H264, HEVC = (f"1.2.840.10008.1.2.4.{number}" for number in (100, 102, 107))

RAMP = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], axis=1).astype(np.uint8)


def palette(bits: str, first: int = 0, order: str = "<") -> dict[str, Any]:
    """The attributes of a palette with the colours of RAMP; 8 bits may lie in words of 16, or be said to be 16."""
    if bits == "8" and order == ">":  # two in a word, so swapped
        return palette(bits) | {
            f"{name}PaletteColorLookupTableData": RAMP[:, at].copy().view(np.uint16).byteswap().tobytes()
            for at, name in enumerate(("Red", "Green", "Blue"))
        }
    entries = {"8": RAMP, "16": RAMP.astype(f"{order}u2") * 257}.get(bits, RAMP.astype(f"{order}u2"))
    attributes: dict[str, Any] = {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}
    for at, name in enumerate(("Red", "Green", "Blue")):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [256 - first, first, 8 if bits[0] == "8" else 16]
        attributes[f"{name}PaletteColorLookupTableData"] = entries[first:, at].tobytes()
    return attributes


def encoded(frames: Sequence[np.ndarray], kind: str = "JPEG", **options: Any) -> list[bytes]:
    """Encode frames with Pillow."""
    files = []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, kind, **options)
        files.append(file.getvalue() + bytes(file.tell() % 2))
    return files


def run_lengths(frame: np.ndarray) -> bytes:
    """Encode a frame as PS3.5, annex G, with runs of one value only: one segment for each sample."""
    segments = []
    for sample in frame.reshape(-1, frame.shape[2] if frame.ndim == 3 else 1).T:
        ends = np.append(np.flatnonzero(np.diff(sample)) + 1, len(sample))
        segment = b""
        for start, end in zip([0, *ends], ends, strict=False):
            for at in range(start, end, 128):
                count = min(128, end - at)
                segment += bytes([257 - count if count > 1 else 0, sample[start]])
        segments.append(segment + bytes(len(segment) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), starts
    return header.tobytes() + b"".join(segments)


def check_exact(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Check that a file has exactly these frames, of 64 x 80 pixels, in order and one by one."""
    with open_video(path) as video:
        assert video.size == (64, 80) and len(video) == len(frames)
        for (index, _, frame), expected in zip(video, frames, strict=True):
            assert (frame == expected).all() and (video[index] == expected).all()
        assert video.report.is_complete and video.report.expected == len(frames)
