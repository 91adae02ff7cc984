from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lsinet_monai.workflow import log_written

# what a run wrote, the files that are there, and the last line, in which OUT is the output folder
LINES = [
    ({"a/b": (75, 68)}, ["overlays/a/b.mp4"], "wrote 1 clip, 75 frames, 68 with a polyp: look at OUT/overlays/a/b.mp4"),
    ({"a": (1, 0)}, ["overlays/a.gif"], "wrote 1 clip, 1 frame, 0 with a polyp: look at OUT/overlays/a.gif"),
    ({"a": (2, 1)}, ["masks/a/0.png"], "wrote 1 clip, 2 frames, 1 with a polyp: look at OUT/masks/a"),
    ({"a": (2, 1)}, [], "wrote 1 clip, 2 frames, 1 with a polyp: look at OUT"),
    (
        {"a": (2, 1), "b": (3, 3)},
        ["overlays/a.mp4", "masks/a/0.png"],
        "wrote 2 clips, 5 frames, 4 with a polyp: look at OUT/overlays",
    ),
    ({"a": (2, 1), "b": (3, 3)}, ["masks/a/0.png"], "wrote 2 clips, 5 frames, 4 with a polyp: look at OUT/masks"),
    ({}, ["overlays/a.mp4"], "wrote 0 clips"),
]


@pytest.mark.parametrize(("written", "files", "line"), LINES)
def test_the_last_line_says_what_was_written_and_where(
    written: dict[str, tuple[int, int]],
    files: list[str],
    line: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with caplog.at_level(logging.INFO, "lsinet_monai"):
        log_written(written, tmp_path)
    assert caplog.messages == [line.replace("OUT", str(tmp_path))]
