from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.masks import frame_score, has_polyp, polyp_intervals, uncertainty


def _map(size: tuple[int, int], **pixels: float) -> np.ndarray:
    """A map of zeros with single pixels set: ``_map((9, 9), r4c4=1)``."""
    image = np.zeros(size, np.float32)
    for place, value in pixels.items():
        row, column = place[1:].split("c")
        image[int(row), int(column)] = value
    return image


SCORES = [
    ("flat", np.full((7, 9), 0.3, np.float32), 0.3),
    ("lone pixel: 1 of 25", _map((9, 9), r4c4=1), 1 / 25),
    ("lone pixel in the corner: 1 of the 3x3 that are inside", _map((9, 9), r0c0=1), 1 / 9),
    ("lone pixel at the edge: 1 of the 3x5 that are inside", _map((9, 9), r0c4=1), 1 / 15),
    ("two pixels that one window holds", _map((13, 13), r5c5=1, r7c8=0.5), 1.5 / 25),
    ("a plateau beats a peak", np.pad(np.full((6, 6), 0.5, np.float32), (9, 3)) + _map((18, 18), r2c2=1), 0.5),
    ("a peak on a plateau", np.full((18, 18), 0.5, np.float32) + _map((18, 18), r9c9=0.5), 0.52),
    ("frame smaller than the window", np.array([[0.2, 0.4]], np.float32), 0.3),
]

H_QUARTER = 2 - 0.75 * math.log2(3)  # -(1/4 log2 1/4 + 3/4 log2 3/4)
UNCERTAINTIES = [
    ("sure", [[0.0, 1.0, 0.04, 0.96]], 0.0),
    ("a coin", [[0.5]], 1.0),
    ("a quarter", [[0.25, 0.75]], H_QUARTER),
    ("sure pixels do not count", [[0.0, 0.5, 1.0], [0.25, 0.01, 0.99]], (1 + H_QUARTER) / 2),
    ("the ends count", [[0.05, 0.95, 0.0]], -0.05 * math.log2(0.05) - 0.95 * math.log2(0.95)),
]

POLYPS = [(0, 0.001, False), (1, 0.001, False), (2, 0.001, True), (100, 0.1, False), (101, 0.1, True), (1, 0, True)]

INTERVALS = [
    ("", []),
    ("....", []),
    ("#", [(0, 0)]),
    ("####", [(0, 3)]),
    ("..##..", [(2, 3)]),
    ("#...#", [(0, 4)]),
    ("#....#", [(0, 0), (5, 5)]),
    ("...#.#...", [(3, 5)]),
    ("##...#....##", [(0, 5), (10, 11)]),
]


@pytest.mark.parametrize(("_", "probability", "expected"), SCORES, ids=[case[0] for case in SCORES])
def test_frame_score(_: str, probability: np.ndarray, expected: float) -> None:
    assert frame_score(probability) == pytest.approx(expected, rel=1e-6)
    assert frame_score(torch.from_numpy(probability)) == frame_score(probability)


@pytest.mark.parametrize(("_", "probability", "expected"), UNCERTAINTIES, ids=[case[0] for case in UNCERTAINTIES])
def test_uncertainty(_: str, probability: list[list[float]], expected: float) -> None:
    assert uncertainty(np.array(probability, np.float32)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("probability", [np.full((4, 5), np.nan, np.float32), _map((4, 5), r1c2=math.nan, r3c3=0.5)])
def test_uncertainty_refuses_nan(probability: np.ndarray) -> None:
    for map_ in (probability, torch.from_numpy(probability), torch.from_numpy(probability).half()):
        with pytest.raises(InputError, match="the probability map contains NaN"):
            uncertainty(map_)


@pytest.mark.parametrize(("pixels", "min_area", "expected"), POLYPS)
def test_has_polyp_above_min_area_of_1000_pixels(pixels: int, min_area: float, expected: bool) -> None:
    mask = (np.arange(1000) < pixels).reshape(20, 50)
    assert has_polyp(mask, min_area) is expected
    assert has_polyp(torch.from_numpy(mask), min_area) is expected


@pytest.mark.parametrize(("flags", "expected"), INTERVALS)
def test_polyp_intervals(flags: str, expected: list[tuple[int, int]]) -> None:
    assert polyp_intervals(flag == "#" for flag in flags) == expected


def test_polyp_intervals_without_bridges() -> None:
    assert polyp_intervals([True, False, True, True], max_gap=0) == [(0, 0), (2, 3)]
