from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.writers.overlay_drawing import (
    BAR_HEIGHT,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    outline,
    overlay,
    status_bar,
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


@pytest.mark.parametrize("width", [1, 60, 480])
def test_status_bar_has_its_size(width: int) -> None:
    assert status_bar(width, 12345, [0.5] * 1000, [True] * 1000).shape == (BAR_HEIGHT, width, 3)


def test_status_bar_shows_height_and_colour() -> None:
    def coloured(score: float, flag: bool) -> int:
        return int((status_bar(480, 0, [score], [flag]) == PREDICTION_COLOUR).all(axis=-1).sum())

    assert coloured(0.9, True) > coloured(0.3, True) > 0
    assert coloured(0.9, False) == 0
