from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.writers.overlay_drawing import (
    BAR_HEIGHT,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    StatusBar,
    outline,
    overlay,
)


def _square(size: int = 40, low: int = 10, high: int = 30) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def test_outline_is_two_pixels_on_the_edge() -> None:
    line = outline(_square())
    assert line.dtype == np.float32
    assert (line[20, [9, 10, 29, 30]] > 0.7).all()
    assert (line[20, [0, 6, 13, 20, 26, 33]] == 0).all()
    assert 1.5 < line[20, :20].sum() < 3


@pytest.mark.parametrize("mask", [np.zeros((9, 9), bool), np.ones((9, 9), bool)])
def test_no_outline_where_there_is_no_edge(mask: np.ndarray) -> None:
    assert (outline(mask) == 0).all()


def test_no_outline_along_the_border() -> None:
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    assert (outline(mask)[:, 0] == 0).all()


def test_overlay_draws_prediction_and_truth_and_leaves_the_rest() -> None:
    frame = np.full((40, 40, 3), 100, np.uint8)
    truth = np.zeros((40, 40), bool)
    truth[:, 36:] = True
    picture = overlay(frame, _square(), truth)
    assert picture.dtype == np.uint8
    assert (picture[20, 3] == 100).all()
    assert np.abs(picture[20, 10].astype(int) - PREDICTION_COLOUR).max() < 40
    assert np.abs(picture[20, 36].astype(int) - TRUTH_COLOUR).max() < 40
    inside = picture[20, 20].astype(int)
    assert inside[0] < 100 < inside[2] < 150  # tinted, yet the frame shows through
    assert (frame == 100).all()


def test_overlay_of_an_empty_mask_is_the_frame() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(frame, np.zeros((20, 30), bool)), frame)


@pytest.mark.parametrize("frame_count", [None, 3, 1000])
@pytest.mark.parametrize("width", [1, 60, 481])
def test_status_bar_has_its_size(width: int, frame_count: int | None) -> None:
    bar = StatusBar(width, frame_count)
    for index in range(1000):
        bar.add(index, 0.5, True)
    assert bar.draw().shape == (BAR_HEIGHT, width, 3)


def _heights(bar: StatusBar, colour: tuple[int, int, int] = PREDICTION_COLOUR) -> np.ndarray:
    """The number of pixels of a colour in each column of the bar."""
    return (bar.draw() == colour).all(axis=-1).sum(axis=0)


def test_status_bar_shows_height_and_colour() -> None:
    def coloured(score: float, flag: bool) -> int:
        bar = StatusBar(480, 1)
        bar.add(0, score, flag)
        return int(_heights(bar).max())

    assert coloured(0.9, True) > coloured(0.3, True) > coloured(0, True) > 0
    assert coloured(0.9, False) == 0


@pytest.mark.parametrize("frame_count", [7, 75, 5000])
def test_the_timeline_is_full_at_the_clip_s_last_frame(frame_count: int) -> None:
    bar = StatusBar(480, frame_count)
    filled = []
    for index in range(frame_count):
        bar.add(index, 1, True)
        if index in (frame_count // 2, frame_count - 1):
            (drawn,) = np.nonzero(_heights(bar))
            assert (np.diff(drawn) == 1).all()  # no stripes
            filled.append(len(drawn))
    assert filled[1] > 200 and filled[0] == pytest.approx(filled[1] * (frame_count // 2 + 1) / frame_count, abs=1)


@pytest.mark.parametrize("frame_count", [None, 5000])
def test_a_column_of_many_frames_shows_the_highest_score(frame_count: int | None) -> None:
    bar = StatusBar(480, frame_count)
    for index in range(5000):
        bar.add(index, 0.9 if index == 1000 else 0.1, index == 1000)
    heights = _heights(bar)
    assert (heights > 0).sum() == 1
    assert heights.max() > 3 * np.median(_heights(bar, (120, 126, 136))[heights.argmax() + 1 :][:100])
