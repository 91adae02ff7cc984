from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.metrics import Click, next_click


def _mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A mask with boxes of left, top, width, height."""
    mask = np.zeros((40, 60), bool)
    for left, top, width, height in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


SMALL, LARGE = (2, 3, 5, 5), (20, 10, 11, 9)
CLICKS = [
    (_mask(), _mask(SMALL), Click(4.5, 5.5, 1)),
    (_mask(SMALL), _mask(), Click(4.5, 5.5, 0)),
    (_mask(SMALL), _mask(LARGE), Click(24.5, 14.5, 1)),  # 20 + 5th column of 11: as deep as those right of it
    (_mask(LARGE), _mask(SMALL), Click(24.5, 14.5, 0)),
    (_mask(SMALL), _mask(SMALL), None),
]


@pytest.mark.parametrize(("mask", "truth", "expected"), CLICKS)
def test_the_click_is_at_the_centre_of_the_largest_error(mask: np.ndarray, truth: np.ndarray, expected: Click) -> None:
    assert next_click(mask, truth) == expected


def test_a_region_at_the_frames_rim_is_not_clicked_at_the_rim() -> None:
    click = next_click(_mask(), _mask((0, 0, 9, 9)))
    assert click == Click(4.5, 4.5, 1)


def test_regions_that_touch_at_a_corner_are_two() -> None:
    truth = _mask((10, 10, 5, 5), (15, 15, 7, 7))
    assert next_click(_mask(), truth) == Click(18.5, 18.5, 1)


def test_random_clicks_stay_in_the_region_and_are_not_all_one() -> None:
    rng = np.random.default_rng(0)
    clicks = [next_click(_mask(), _mask(SMALL, LARGE), rng) for _ in range(30)]
    assert all(click is not None and _mask(LARGE)[int(click.y), int(click.x)] and click.label == 1 for click in clicks)
    assert len({(click.x, click.y) for click in clicks if click is not None}) > 10
