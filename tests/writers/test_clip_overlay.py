from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.writers import FrameRecord
from lsinet_monai.writers.clip_overlay import ClipOverlay
from lsinet_monai.writers.frame_records import write_records
from lsinet_monai.writers.overlay_drawing import BAR_HEIGHT
from lsinet_monai.writers.unfinished import UnfinishedRun

# The first frame's height and width, and the overlay's, without the bar.
SIZES = [
    ((100, 200), (160, 320)),  # enlarged to the least long side
    ((400, 300), (400, 300)),
    ((700, 1400), (240, 480)),  # reduced to the greatest long side
    ((401, 301), (400, 300)),  # both even
]


def _draw(folder: Path, size: tuple[int, int], score_bar: bool, segments: list[int]) -> Image.Image:
    run = UnfinishedRun(folder, "a")
    write_records(run.record_file, [])
    overlay = ClipOverlay("gif", run, threshold=0.5, score_bar=score_bar, frame_seconds=None)
    records: list[FrameRecord] = []
    for length in segments:
        for _ in range(length):
            records.append(FrameRecord(len(records), "x", None, *size, 0.1, 0.5, 0.1, True))
            overlay.add(records, np.full((*size, 3), 100, np.uint8), np.zeros(size, np.float32))
        overlay.end_segment(len(records))
    overlay.end_segment(len(records))  # without a frame since the last one
    assert list(run.segments().values()) == [sum(segments[: end + 1]) for end in range(len(segments))]
    overlay.finish(folder / "case.1")
    return Image.open(folder / "case.1.gif")


@pytest.mark.parametrize("score_bar", [True, False])
@pytest.mark.parametrize(("size", "expected"), SIZES)
def test_size(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int], score_bar: bool) -> None:
    with _draw(tmp_path, size, score_bar, [1]) as gif:
        assert (gif.height - BAR_HEIGHT * score_bar, gif.width) == expected


def test_segments_are_joined(tmp_path: Path) -> None:
    with _draw(tmp_path, (40, 60), False, [2, 1]) as gif:
        assert gif.n_frames == 3 and gif.info["duration"] == 100


def test_a_resumed_clip_has_the_scores_of_its_first_frames_in_the_bar(tmp_path: Path) -> None:
    records = [FrameRecord(i, "x", None, 100, 200, 0.1, 0.2 * i, 0.1, i > 1) for i in range(4)]
    last_frames = []
    for name, resumed_at in (("whole", 0), ("resumed", 2)):
        run = UnfinishedRun(tmp_path, name)
        write_records(run.record_file, [])
        overlay = ClipOverlay("gif", run, 0.5, True, None, frame_count=4)
        for end in range(resumed_at + 1, 5):
            overlay.add(records[:end], np.full((100, 200, 3), 100, np.uint8), np.zeros((100, 200), np.float32))
        overlay.end_segment(4)
        overlay.finish(tmp_path / name)
        with Image.open(tmp_path / f"{name}.gif") as gif:
            gif.seek(gif.n_frames - 1)
            last_frames.append(np.asarray(gif.convert("RGB")))
    np.testing.assert_array_equal(*last_frames)


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    ClipOverlay("gif", UnfinishedRun(tmp_path, "a"), 0.5, True, None).finish(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="overlay 'avi' is neither gif nor mp4"):
        ClipOverlay("avi", UnfinishedRun(tmp_path, "a"), 0.5, True, None)
