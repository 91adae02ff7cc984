from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from lsinet_monai.data.video import Video, VideoReport
from lsinet_monai.errors import InputError

# expected, found, skipped, whether the file ends early; what the report says
REPORTS = [
    (None, 5, (), False, "5 frames, complete"),
    (5, 5, (), False, "5 frames, complete"),
    (6, 5, (3,), False, "1 damaged or lost frames skipped (3)"),
    (9, 5, (1, 2, 4), False, "3 damaged or lost frames skipped (1-2, 4)"),
    (9, 5, (), True, "the file ends early, after 5 of 9 frames"),
    (9, 5, (0,), True, "the file ends early, after 6 of 9 frames; 1 damaged or lost frames skipped (0)"),
    (99, 9, tuple(range(0, 20, 2)), False, "10 damaged or lost frames skipped (0, 2, 4, 6, 8, 10, 12, 14, ...)"),
]


class MemoryVideo(Video):
    """A video of frames whose value is their index, some of them damaged."""

    def __init__(self, count=10, damaged=(), **options):
        super().__init__(Path("memory"), (2, 3), 10, count, expected=count, **options)
        self.damaged = set(damaged)

    def seconds(self, index):
        return index / 10

    def _decode_one(self, index):
        return None if index in self.damaged else np.full((2, 3, 3), index, np.uint8)


@pytest.mark.parametrize(("expected", "found", "skipped", "ends_early", "text"), REPORTS)
def test_a_report_is_one_line(expected, found, skipped, ends_early, text):
    report = VideoReport(Path("a.mp4"), expected, found, skipped, ends_early)
    assert str(report) == f"a.mp4: {text}"
    assert report.is_complete is ("complete" in text)


# bounds, the indices of the frames; 3, 4 and 9 are damaged
SLICES = [
    ((), [0, 1, 2, 5, 6, 7, 8]),
    ((2, 6), [2, 5]),
    ((-3, None), [7, 8]),
    ((7, 100), [7, 8]),
    ((3, 5), []),
    ((6, 6), []),
    ((8, 2), []),
]


@pytest.mark.parametrize(("bounds", "indices"), SLICES)
def test_iterating_leaves_out_damaged_frames_and_reports_them(bounds, indices):
    with MemoryVideo(damaged=[3, 4, 9]) as video:
        found = list(video.frames(*bounds))
        assert [index for index, _, _ in found] == [int(frame[0, 0, 0]) for _, _, frame in found] == indices
        assert [seconds for _, seconds, _ in found] == [index / 10 for index in indices]
        start, end, _ = slice(*(bounds or (None,))).indices(10)
        assert video.report.skipped == tuple(index for index in (3, 4, 9) if start <= index < end)
        assert video.report.found == 10 - len(video.report.skipped)


def test_damage_is_logged_once_at_the_end_of_the_video(caplog):
    with caplog.at_level(logging.WARNING), MemoryVideo(damaged=[3]) as video:
        list(video.frames(0, 5))
        assert not caplog.records
        list(video)
        list(video)
    assert [record.getMessage() for record in caplog.records] == ["memory: 1 damaged or lost frames skipped (3)"]


def test_a_complete_video_logs_nothing(caplog):
    with caplog.at_level(logging.WARNING), MemoryVideo() as video:
        assert len(list(video)) == len(video) == 10
    assert not caplog.records


# the values of the frames' pixels; None is a frame of two colours
BLANKS = [([0] * 5, "rgb(0, 0, 0)"), ([7, 8, 9], "rgb(7, 7, 7)"), ([0, 0, None], ""), ([None, 0], ""), ([0, 90], "")]


@pytest.mark.parametrize(("values", "colour"), BLANKS)
def test_pictures_that_all_have_one_colour_are_reported(caplog, values, colour):
    class Blank(MemoryVideo):
        def _decode_one(self, index):
            frame = np.full((20, 30, 3), values[index] or 0, np.uint8)
            frame[5, 7] += 90 * (values[index] is None)
            return frame

    with caplog.at_level(logging.WARNING), Blank(len(values)) as video:
        list(video)
        list(video)
        assert video.report.is_complete
    said = f"memory: {len(values)} frames, complete; every picture has one colour, {colour}: if a player shows more, "
    assert [record.getMessage()[: len(said)] for record in caplog.records] == [said] * bool(colour)


def test_notes_are_said(caplog):
    with caplog.at_level(logging.WARNING), MemoryVideo(notes=["has two streams"]) as video:
        list(video)
    assert [record.getMessage() for record in caplog.records] == ["memory: 10 frames, complete; has two streams"]
    assert video.report.notes == ("has two streams",)


@pytest.mark.parametrize("index", [2, -8, np.int64(2)])
def test_access(index):
    with MemoryVideo() as video:
        assert (video[index] == 2).all() and (video.frame(index) == 2).all()


def test_access_to_a_frame_that_cannot_be_read():
    with MemoryVideo(damaged=[3], lost=[4]) as video:
        for index in (3, 4):
            with pytest.raises(InputError, match=f"memory: frame {index} is damaged or lost"):
                video[index]
        for index in (10, -11):
            with pytest.raises(IndexError, match=f"frame {index} of 10"):
                video[index]
        with pytest.raises(TypeError):
            video[1.5]


def test_a_closed_video_refuses_to_read():
    with MemoryVideo() as video:
        running = iter(video)
        next(running)
    assert list(running) == []
    video.close()
    for use in (lambda: video[0], lambda: list(video)):
        with pytest.raises(ValueError, match="memory is closed"):
            use()
