from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clicks import MOST, click_until_good, iou, with_walker
from lsinet_monai.metrics import Click

TRUTH = np.zeros((40, 60), bool)
TRUTH[10:30, 10:50] = True
NOTHING = np.zeros_like(TRUTH)


def _columns(clicks: list[Click]) -> np.ndarray:
    """A way that gets 10 of the truth's 40 columns right with each click."""
    mask = NOTHING.copy()
    mask[10:30, 10 : 10 + 10 * len(clicks)] = True
    return mask & TRUTH


def test_clicks_are_counted_until_each_goal() -> None:
    row = click_until_good(_columns, NOTHING, TRUTH)
    assert row.clicks == (4, 4) and row.is_reached == (True, True)  # 3 clicks: IoU 0.75
    assert row.first == pytest.approx(0.25)


def test_a_mask_that_is_good_at_once_needs_no_click() -> None:
    almost = TRUTH.copy()
    almost[10:13] = False  # IoU 0.85
    row = click_until_good(lambda _: TRUTH, almost, TRUTH)
    assert row.clicks == (0, 1) and row.is_reached == (True, True)


def test_what_is_never_reached_counts_all_clicks() -> None:
    row = click_until_good(lambda _: NOTHING, NOTHING, TRUTH)
    assert row.clicks == (MOST, MOST) and row.is_reached == (False, False)


def test_iou() -> None:
    assert iou(TRUTH, TRUTH) == 1 and iou(NOTHING, TRUTH) == 0


def test_the_walker_fills_an_even_region_from_one_click() -> None:
    pytest.importorskip("skimage")
    pixels = np.full((40, 60, 3), 40, np.uint8)
    pixels[TRUTH] = 200
    found = with_walker(pixels, 60)([Click(30, 20, 1)])
    assert iou(found, TRUTH) > 0.9
