"""Which files of a folder are videos, by their names, and which others look like one."""

from __future__ import annotations

from pathlib import Path

__all__ = ["VIDEO_SUFFIXES", "has_video_suffix", "looks_like_video"]

_READ = (
    "mp4 m4v mp4v mov qt avi divx mkv webm mpg mpeg mpe m1v m2v vob ts m2t m2ts mts wmv asf flv f4v 3gp 3gpp 3g2 "
    "h264 264 h265 265 hevc ogv ogm mxf dv nut "  # by FFmpeg
    "gif apng "  # by Pillow
    "dcm dicom"
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _READ.split())
"""In a folder, files with these suffixes, in lower or upper case, are taken for videos."""

# Not read, read only if given by name because most such files are something else, or read by other programs alone.
_OTHERS = "y4m obu mjpeg mjpg ivf gxf rm rmvb h263 263 swf roq vvc h266 266 av1 mj2 amv wtv ogg evo mod tod trp tp"
_OTHER_SUFFIXES = frozenset(f".{name}" for name in _OTHERS.split())

# At the start of a file, and where: MP4 and MOV, AVI, MKV, program streams, WMV, FLV, DICOM.
_MARKS = (
    (4, b"ftyp"), (8, b"AVI "), (0, b"\x1a\x45\xdf\xa3"), (0, b"\0\0\x01\xba"), (0, b"\x30\x26\xb2\x75"), (0, b"FLV\1"),
    (128, b"DICM"),
)  # fmt: skip


def has_video_suffix(name: str) -> bool:
    """Whether a file's name ends like that of a video that is read, in lower or upper case."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def looks_like_video(path: Path) -> bool:
    """Whether a person may take a file for a video although :func:`has_video_suffix` is false.

    It has the suffix of a kind that is not taken, or a blank or a dot after its suffix, or no suffix but the first
    bytes of a video. The file is opened only if its name has no suffix.
    """
    name = path.name
    stripped = name.rstrip(" .\t\n")
    if has_video_suffix(name):
        return False
    if path.suffix.lower() in _OTHER_SUFFIXES or (stripped != name and has_video_suffix(stripped)):
        return True
    if any(sign.isalpha() for sign in path.suffix):
        return False
    try:
        with path.open("rb") as file:
            first = file.read(132)
    except OSError:
        return False
    return any(first[at : at + len(mark)] == mark for at, mark in _MARKS)
