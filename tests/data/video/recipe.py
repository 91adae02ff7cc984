"""Make the tests' videos. Run as a program, this prints the table of ``docs/video.md``."""

from __future__ import annotations

import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from lsinet_monai.data import open_video, phantom_clip
from lsinet_monai.errors import InputError

# name, codec, pixel format, options, B-frames, containers (file suffixes)
KINDS = [
    ("H.264", "libx264", "yuv420p", {"preset": "veryfast"}, 0, "mp4 mov avi mkv ts"),
    (
        "H.264, B-frames",
        "libx264",
        "yuv420p",
        {"preset": "veryfast"},
        2,
        "mp4 fast.mp4 frag.mp4 mov avi mkv ts wmv mxf",
    ),
    (
        "H.265",
        "libx265",
        "yuv420p",
        {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2"},
        2,
        "mp4 mkv ts",
    ),
    ("MPEG-4", "mpeg4", "yuv420p", {"qscale": "3"}, 0, "mp4 mov avi mkv mpg"),
    ("MPEG-4, B-frames", "mpeg4", "yuv420p", {"qscale": "3"}, 2, "mp4 avi mkv wmv nut"),
    ("MPEG-2, B-frames", "mpeg2video", "yuv420p", {"qscale": "3"}, 2, "mpg ts avi mxf"),
    ("MJPEG", "mjpeg", "yuvj444p", {"qscale": "2"}, 0, "mp4 mov avi mkv"),
    ("VP8", "libvpx", "yuv420p", {"deadline": "realtime"}, 0, "ogv"),
    ("VP9", "libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, 0, "mp4 mkv webm"),
    ("AV1", "libsvtav1", "yuv420p", {"preset": "12"}, 0, "mp4 mkv webm"),
    ("FFV1", "ffv1", "bgr0", {}, 0, "avi mkv"),
    ("WMV", "wmv2", "yuv420p", {"qscale": "3"}, 0, "wmv"),
    ("FLV", "flv1", "yuv420p", {"qscale": "3"}, 0, "flv"),
    ("bare H.264", "libx264", "yuv420p", {"preset": "veryfast"}, 2, "h264"),
    ("bare MPEG-4", "mpeg4", "yuv420p", {"qscale": "3"}, 2, "m4v"),
    ("bare MPEG-2", "mpeg2video", "yuv420p", {"qscale": "3"}, 2, "m2v"),
]
_CONTAINER_OPTIONS = {
    "fast.mp4": {"movflags": "faststart"},  # the table of all frames comes first
    "frag.mp4": {"movflags": "frag_keyframe+empty_moov"},
}
_FORMATS = {"ts": "mpegts", "mpg": "mpeg", "mkv": "matroska", "wmv": "asf", "m2v": "mpeg2video", "m4v": "m4v"}

# name, function from a file's bytes to the damaged bytes
DAMAGES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("400 bytes zeroed in the middle", lambda data: data[: len(data) // 2] + bytes(400) + data[len(data) // 2 + 400 :]),
    ("cut off at 60%", lambda data: data[: len(data) * 6 // 10]),
]


_BLOCK = 8  # pixels
_BITS = 6


@cache
def _phantom(frames: int, size: tuple[int, int]) -> list[np.ndarray]:
    return [frame for frame, _ in phantom_clip(frames, size, 0)]


def clip(frames: int = 24, size: tuple[int, int] = (64, 80)) -> list[np.ndarray]:
    """Frames of the phantom, uint8, (H, W, 3), each with its number in the upper left corner, in black and white."""
    numbered = []
    for number, frame in enumerate(map(np.copy, _phantom(frames, size))):
        for bit in range(_BITS):
            frame[:_BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = 255 * (number >> bit & 1)
        numbered.append(frame)
    return numbered


def number_of(frame: np.ndarray) -> int:
    """Read the number in a frame's corner, also after lossy compression."""
    blocks = frame[:_BLOCK, : _BITS * _BLOCK].reshape(_BLOCK, _BITS, -1).mean((0, 2))
    return sum(1 << bit for bit in range(_BITS) if blocks[bit] > 127)


def write_video(
    target: Path | io.BytesIO,
    frames: Sequence[np.ndarray],
    codec: str = "libx264rgb",
    pixels: str = "rgb24",
    *,
    kind: str | None = None,
    options: dict[str, str] | None = None,
    b_frames: int = 0,
    key_every: int = 8,
    fps: int = 30,
    times: Sequence[int] | None = None,
    prepare: Callable[[OutputContainer, VideoStream], None] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """Encode frames; without a codec, losslessly as H.264. ``times`` are in milliseconds."""
    if options is None:
        options = {"qp": "0", "preset": "ultrafast"} if codec == "libx264rgb" else {}
    unit = Fraction(1, 1000) if times else Fraction(1, fps)
    with _usual_priority(), av.open(target, "w", format=kind, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.max_b_frames = pixels, key_every, b_frames
        if times:
            stream.codec_context.time_base = unit
        if prepare:
            prepare(container, stream)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format=pixels)
            picture.pts, picture.time_base = times[index] if times else index, unit
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Restore the priority: if allowed, SVT-AV1 gives its caller, and all that this starts later, real-time priority.

    Browsers and servers that inherit it block everything else, and the tests almost stop.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_kind(folder: Path, suffix: str, name: str, frames: Sequence[np.ndarray]) -> Path:
    """Encode frames as one of KINDS, in one of its containers."""
    _, codec, pixels, options, b_frames, _ = next(kind for kind in KINDS if kind[0] == name)
    path = folder / f"{name.replace(',', '').replace(' ', '_')}.{suffix}"
    write_video(
        path,
        frames,
        codec,
        pixels,
        kind=_FORMATS.get(suffix),
        options=options,
        b_frames=b_frames,
        container_options=_CONTAINER_OPTIONS.get(suffix),
    )
    return path


def write_silence(container: OutputContainer, seconds: float) -> None:
    """Put an audio stream into a container."""
    stream = container.add_stream("aac", rate=16000)
    for block in range(int(seconds * 16000 / 1024) + 1):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 1024 * block, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


PATIENT = "Doe^Jane"


def write_dicom(
    path: Path, pixel_data: bytes | Sequence[bytes], syntax: str, vr: str = "OB", **attributes: Any
) -> None:
    """Write a DICOM file of a patient called Doe: pixel data from bytes as they are, from a list as fragments."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.1.1"  # Video Endoscopic Image Storage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.is_little_endian = syntax != "1.2.840.10008.1.2.2"
    dataset.is_implicit_VR = syntax == "1.2.840.10008.1.2"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PATIENT, "MRN-4711", "19500102"
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 3, 8, 8, 7
    dataset.PixelRepresentation, dataset.PlanarConfiguration = 0, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.update(attributes)
    is_raw = isinstance(pixel_data, bytes)
    dataset.PixelData = pixel_data if is_raw else encapsulate(list(pixel_data))
    dataset["PixelData"].VR = vr
    dataset["PixelData"].is_undefined_length = not is_raw
    pydicom.dcmwrite(path, dataset, write_like_original=False)


DICOM_FORMS = ("uncompressed", "JPEG", "H.264")


def write_dicom_video(path: Path, form: str, frames: Sequence[np.ndarray], **attributes: Any) -> None:
    """Write frames in one of DICOM_FORMS."""
    height, width = frames[0].shape[:2]
    attributes = {"NumberOfFrames": len(frames), "Rows": height, "Columns": width, "FrameTime": "40"} | attributes
    if form == "uncompressed":
        write_dicom(path, np.stack(frames).tobytes(), "1.2.840.10008.1.2.1", **attributes)
    elif form == "JPEG":
        files = []
        for frame in frames:
            file = io.BytesIO()
            Image.fromarray(frame).save(file, "JPEG")
            files.append(padded(file.getvalue()))
        write_dicom(path, files, "1.2.840.10008.1.2.4.50", PhotometricInterpretation="YBR_FULL_422", **attributes)
    else:
        file = io.BytesIO()
        write_video(file, frames, "libx264", "yuv420p", kind="h264", options={"preset": "veryfast"})
        write_dicom(path, [padded(file.getvalue())], "1.2.840.10008.1.2.4.102", **attributes)


def padded(data: bytes) -> bytes:
    """Pad data to an even number of bytes, which fragments must have."""
    return data + bytes(len(data) % 2)


def _outcome(path: Path, intact: dict[int, np.ndarray]) -> str:
    """Describe how a file was read: the number of frames, and how many differ from those of the intact file."""
    try:
        with open_video(path) as video:
            frames = {index: frame for index, _, frame in video}
            report = video.report
    except InputError:
        return "refused in one line"
    wrong = sum(bool((frame != intact[index]).any()) for index, frame in frames.items())
    parts = [f"{len(frames)} of {len(intact)}"]
    parts += [f"{len(report.skipped)} skipped"] * bool(report.skipped)
    parts += [f"early end, {report.expected} expected"] * report.ends_early
    return ", ".join(parts) + f"; {wrong} altered" * bool(wrong)


def print_table() -> None:
    """Make a file of every kind, damage it, read it, and print the results as a table in Markdown."""
    logging.disable()
    frames = clip(60, (96, 128))
    print(f"| codec | container | intact | {' | '.join(name for name, _ in DAMAGES)} |")
    print(f"|---|---|---|{'---|' * len(DAMAGES)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, *_, suffixes in KINDS:
            for suffix in suffixes.split():
                _print_row(kind, suffix, write_kind(folder, suffix, kind, frames))
        for form in DICOM_FORMS:
            write_dicom_video(folder / "a.dcm", form, frames)
            _print_row(form, "DICOM", folder / "a.dcm")


def _print_row(kind: str, container: str, path: Path) -> None:
    with open_video(path) as video:
        intact = {index: frame for index, _, frame in video}
    data = path.read_bytes()
    outcomes = [_outcome(path, intact)]
    for _, damage in DAMAGES:
        path.write_bytes(damage(data))
        outcomes.append(_outcome(path, intact))
    print(f"| {kind} | {container} | {' | '.join(outcomes)} |")


if __name__ == "__main__":
    print_table()
