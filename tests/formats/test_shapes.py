from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from lsinet_monai.formats.shapes import mask_to_polygon, polygon_to_mask


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def _disc(size: int, radius: float, hole: float = 0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    return (np.hypot(y, x) < radius) & (np.hypot(y, x) >= hole)


SQUARE = [(1, 1), (4, 1), (4, 3), (1, 3)]
DRAWN = [
    ("whole pixels", SQUARE, (4, 6), (slice(1, 3), slice(1, 4))),
    ("the other way round", SQUARE[::-1], (4, 6), (slice(1, 3), slice(1, 4))),
    (
        "a pixel is in if its centre is",
        [(1.4, 1.4), (3.6, 1.4), (3.6, 2.6), (1.4, 2.6)],
        (4, 6),
        (slice(1, 3), slice(1, 4)),
    ),
    ("cut off at the frame", [(-9, -9), (2, -9), (2, 99), (-9, 99)], (4, 6), (slice(0, 4), slice(0, 2))),
    ("outside", [(10, 0), (12, 0), (12, 4)], (4, 6), (slice(0, 0), slice(0, 0))),
    ("drawn twice is nothing", SQUARE * 2, (4, 6), (slice(0, 0), slice(0, 0))),
    ("no area", [(0, 0), (4, 4)], (4, 6), (slice(0, 0), slice(0, 0))),
    ("no points", [], (4, 6), (slice(0, 0), slice(0, 0))),
]


@pytest.mark.parametrize(("_", "points", "size", "inside"), DRAWN, ids=[case[0] for case in DRAWN])
def test_polygon_to_mask(_: str, points: list, size: tuple[int, int], inside: tuple[slice, slice]) -> None:
    expected = np.zeros(size, bool)
    expected[inside] = True
    np.testing.assert_array_equal(polygon_to_mask(np.array(points, float).reshape(-1, 2), size), expected)


@pytest.mark.parametrize("points", [[(0, np.nan)], [(0, np.inf)], [(2e6, 0)], [1, 2], [(0, 0)] * 100_001])
def test_polygon_to_mask_refuses(points: list) -> None:
    with pytest.raises(ValueError, match="polygon"):
        polygon_to_mask(np.array(points, float), (4, 4))


MASKS = [
    ("one pixel", np.ones((1, 1), bool)),
    ("a line", np.ones((1, 9), bool)),
    ("the whole frame", np.ones((30, 40), bool)),
    ("pixels that touch at a corner", np.eye(3, dtype=bool)),
    ("a disc", _disc(200, 80)),
    ("a ring", _disc(200, 80, hole=40)),
    ("two parts", np.hstack([_disc(60, 20), _disc(60, 10)])),
]


@pytest.mark.parametrize(("_", "mask"), MASKS, ids=[case[0] for case in MASKS])
def test_there_and_back(_: str, mask: np.ndarray) -> None:
    assert _iou(polygon_to_mask(mask_to_polygon(mask), mask.shape), mask) >= 0.98


@settings(max_examples=100)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))).filter(np.any))
def test_any_mask_there_and_back(mask: np.ndarray) -> None:
    assert _iou(polygon_to_mask(mask_to_polygon(mask), mask.shape), mask) >= 0.98


def test_a_polygon_in_float32_draws_the_same_mask() -> None:
    mask = np.ones((9, 11), bool)
    mask[[1, 3, 4, 5, 6], [1, 8, 8, 9, 10]] = False  # its polygon has edges through the centres of pixels
    polygon = mask_to_polygon(mask)
    single, double = (polygon_to_mask(polygon.astype(kind), mask.shape) for kind in (np.float32, np.float64))
    np.testing.assert_array_equal(single, double)


def test_few_points_for_people_to_drag() -> None:
    polygon = mask_to_polygon(_disc(400, 150))
    assert len(polygon) < 40
    np.testing.assert_array_equal(polygon, polygon.round(2))


def test_small_holes_are_filled_and_large_ones_are_not() -> None:
    small, large = _disc(100, 40, hole=2), _disc(100, 40, hole=20)
    filled = polygon_to_mask(mask_to_polygon(small), small.shape)
    assert filled[50, 50] and ndimage.label(~filled)[1] == 1
    assert not polygon_to_mask(mask_to_polygon(large), large.shape)[45:55, 45:55].any()


@settings(max_examples=50)
@given(
    arrays(float, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(-1e6, 1e6)),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_any_polygon_can_be_drawn(points: np.ndarray, size: tuple[int, int]) -> None:
    assert polygon_to_mask(points, size).shape == size
