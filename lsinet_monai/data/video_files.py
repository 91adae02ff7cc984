"""Which files of a folder are videos, by their names, and which others look like one."""

from __future__ import annotations

from pathlib import Path

__all__ = ["VIDEO_SUFFIXES", "has_video_suffix", "is_named_like_video", "looks_like_video"]

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

# Files with these suffixes are something else, whatever they hold.
_ELSE = (
    "txt md json csv tsv xml yaml yml html log ini cfg toml py ipynb sh parquet db sqlite lock "
    "png jpg jpeg jpe bmp tif tiff webp heic heif avif svg jp2 j2k nii nrrd mha mhd npy npz mat pt pth onnx "
    "zip gz bz2 xz tar 7z rar pdf doc docx xls xlsx ppt pptx wav mp3 m4a m4b mka oga opus aac flac srt vtt"
)
_NO_VIDEOS = frozenset(f".{name}" for name in _ELSE.split())

# At the start of a file, and where: MP4 and MOV, AVI, MKV, MPEG, WMV, FLV, Ogg, MXF, NUT, GIF, DICOM.
_MARKS = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (8, b"AVI "), (0, b"\x1a\x45\xdf\xa3"),
    (0, b"\0\0\x01\xba"), (0, b"\0\0\x01\xb3"), (0, b"\x30\x26\xb2\x75"), (0, b"FLV\1"), (0, b"OggS"),
    (0, b"\x06\x0e\x2b\x34"), (0, b"nut/"), (0, b"GIF8"), (128, b"DICM"),
)  # fmt: skip
_SYNC, _PACKET = b"\x47", 188  # of transport streams


def has_video_suffix(name: str) -> bool:
    """Whether a file's name ends like that of a video that is read, in lower or upper case."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def looks_like_video(path: Path) -> bool:
    """Whether a person may take a file for a video although :func:`has_video_suffix` is false.

    It has the name of one, see :func:`is_named_like_video`, or the first bytes of one. The file is opened only if its
    suffix is not that of something else.
    """
    if has_video_suffix(path.name):
        return False
    if is_named_like_video(path.name):
        return True
    # A pipe would never end.
    if path.suffix.lower() in _NO_VIDEOS or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.read(_PACKET + 1)
    except OSError:
        return False
    is_transport = first[:1] == first[_PACKET:] == _SYNC
    return is_transport or any(first[at : at + len(mark)] == mark for at, mark in _MARKS)


def is_named_like_video(name: str) -> bool:
    """Whether a name has the suffix of a kind of video that is not taken, or a blank or a dot after its suffix."""
    stripped = name.rstrip(" .\t\n")
    return Path(name).suffix.lower() in _OTHER_SUFFIXES or (stripped != name and has_video_suffix(stripped))
