from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.writers import ClipWriter, FrameRecord, forget_clip, frames_on_disk, unfinished_dir
from lsinet_monai.writers.frame_records import write_records
from lsinet_monai.writers.unfinished import UnfinishedRun

FRAME, MAP = np.full((20, 50, 3), 90, np.uint8), np.full((20, 50), 0.8, np.float32)
RECORDS = [FrameRecord(index, f"{index}.png", None, 20, 50, 0.0, 0.1, 0.2, False) for index in range(6)]

# The frames in complete segments of the overlay, whether one is being written, and the frames to resume from.
OVERLAYS = [([], False, 6), ([], True, 0), ([4], True, 4), ([2, 4], False, 4), ([2, 6], False, 6)]


def _run(folder: Path, stops: list[int], is_writing: bool = False) -> UnfinishedRun:
    """Leave the records of six frames and segments of an overlay that end after some of them."""
    run = UnfinishedRun(folder, "a/b")
    write_records(run.record_file, RECORDS)
    starts = [0, *stops]
    for start, stop in zip(starts, stops, strict=False):
        run.end_segment(run.new_segment(start), stop)
    if is_writing:
        run.new_segment(starts[-1])
    return run


@pytest.mark.parametrize(("stops", "is_writing", "expected"), OVERLAYS)
def test_frames_on_disk(tmp_path: Path, stops: list[int], is_writing: bool, expected: int) -> None:
    run = _run(tmp_path, stops, is_writing)
    assert run.folder == unfinished_dir(tmp_path, "a/b") == tmp_path / "a/b/.unfinished"
    assert frames_on_disk(tmp_path, "a/b") == expected
    assert frames_on_disk(tmp_path, "b") == 0


def test_segments_are_in_order(tmp_path: Path) -> None:
    segments = _run(tmp_path, [2, 3, 6]).segments()
    assert list(segments.values()) == [2, 3, 6] and list(segments) == sorted(segments)


def test_rewind_removes_later_segments(tmp_path: Path) -> None:
    run = _run(tmp_path, [2, 4], is_writing=True)
    assert run.rewind(2, needs_overlay=True) == RECORDS[:2]
    assert list(run.segments().values()) == [2] and not list(run.folder.glob("*.part"))


def test_rewind_to_the_start_removes_the_folder(tmp_path: Path) -> None:
    run = _run(tmp_path, [2])
    assert run.rewind(0, needs_overlay=True) == [] and not run.folder.exists()


@pytest.mark.parametrize(("frames", "needs_overlay"), [(3, True), (7, True), (7, False)])
def test_rewind_refuses_frames_that_are_not_there(tmp_path: Path, frames: int, needs_overlay: bool) -> None:
    with pytest.raises(InputError, match=f"does not hold the first {frames} frames of clip 'a/b': start the clip"):
        _run(tmp_path, [2, 4]).rewind(frames, needs_overlay)


def test_rewind_without_an_overlay_may_stop_anywhere(tmp_path: Path) -> None:
    assert _run(tmp_path, []).rewind(5, needs_overlay=False) == RECORDS[:5]


def test_a_forgotten_clip_leaves_only_files_that_no_run_wrote(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "case1") as writer:
        for name in ("a.png", "b.png"):
            writer.write(name, FRAME, MAP)
    with pytest.raises(KeyError), ClipWriter(tmp_path, "case1/part2", frames_done=0) as writer:
        writer.write("c.png", FRAME, MAP)
        raise KeyError("the run ends")
    with ClipWriter(tmp_path, "case2") as writer:
        writer.write("a.png", FRAME, MAP)
    (tmp_path / "masks" / "case1" / "notes.txt").touch()
    forget_clip(tmp_path, "case1")
    forget_clip(tmp_path, "case1/part2")
    forget_clip(tmp_path, "case3")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        ["masks/case1/notes.txt", "case2/summary.json", "maps/case2/a.png", "masks/case2/a.png", "overlays/case2.gif"]
    )
