from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsinet_monai.data import has_video_suffix, looks_like_video

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0"

# name, first bytes, taken for a video, looks like one
FILES = [
    ("a.mp4", b"", True, False),
    ("B.VOB", b"", True, False),
    ("c.3G2", b"", True, False),
    ("d.Mp4V", b"", True, False),
    ("e.mxf", b"", True, False),
    ("f.ogv", b"", True, False),
    ("a.IVF", b"", False, True),
    ("a.gxf", b"", False, True),
    ("trail.mp4 ", b"", False, True),
    ("dot.mp4.", b"", False, True),
    ("none", MP4, False, True),
    ("Koloskopie 12.05.2024", MP4, False, True),
    ("IM0001", bytes(128) + b"DICM", False, True),
    ("Dr. Smith 1", MP4, False, True),
    ("x.mp4~", MP4, False, True),
    ("stream", b"\x47" + bytes(187) + b"\x47", False, True),
    ("none", b"text", False, False),
    ("notes.txt", MP4, False, False),
    ("sound.m4a", MP4, False, False),
    ("a.json", b"", False, False),
]


@pytest.mark.parametrize(("name", "content", "is_video", "looks"), FILES)
def test_what_a_name_says(tmp_path: Path, name: str, content: bytes, is_video: bool, looks: bool) -> None:
    (tmp_path / name).write_bytes(content)
    assert (has_video_suffix(name), looks_like_video(tmp_path / name)) == (is_video, looks)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "queue")
    assert not looks_like_video(tmp_path / "queue")
