from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from py_sod_metrics import MAE, Emeasure, Fmeasure, Smeasure, WeightedFmeasure

from lsinet_monai.errors import InputError
from lsinet_monai.metrics import (
    BENCHMARK_SCORES,
    THRESHOLDS,
    average,
    benchmark_scores,
    frame_measures,
    released_map,
)

POLYP = np.array([[True, False], [False, False]])

# A 2x2 map, and the Dice, IoU, sensitivity and specificity of the masks that thresholds of a level k / 255 make of it:
# (from level, to level, values). The polyp is the first pixel.
CURVES = {
    "perfect": (
        [[255, 0], [0, 0]],
        [(1, 255, (1, 1, 1, 1)), (0, 0, (2 / 5, 1 / 4, 1, 0))],
    ),
    "one false pixel": (
        [[254, 128], [0, 0]],  # 255, 128.5, 0, 0
        [(129, 255, (1, 1, 1, 1)), (1, 128, (2 / 3, 1 / 2, 1, 2 / 3)), (0, 0, (2 / 5, 1 / 4, 1, 0))],
    ),
    "stretched": (
        [[30, 20], [10, 10]],  # 255, 127.5, 0, 0
        [(128, 255, (1, 1, 1, 1)), (1, 127, (2 / 3, 1 / 2, 1, 2 / 3)), (0, 0, (2 / 5, 1 / 4, 1, 0))],
    ),
    # Specificity is 0 at thresholds without a true positive.
    "wrong pixel first": (
        [[100, 254], [0, 0]],  # 100.4, 255, 0, 0
        [(101, 255, (0, 0, 0, 0)), (1, 100, (2 / 3, 1 / 2, 1, 2 / 3)), (0, 0, (2 / 5, 1 / 4, 1, 0))],
    ),
    "constant": (
        [[51, 51], [51, 51]],  # 0.2, which is not stretched
        [(52, 255, (0, 0, 0, 0)), (0, 51, (2 / 5, 1 / 4, 1, 0))],
    ),
}


@pytest.mark.parametrize(("map_", "pieces"), CURVES.values(), ids=CURVES)
def test_curves(map_: list[list[int]], pieces: list[tuple[int, int, tuple[float, ...]]]) -> None:
    measures = frame_measures(np.array(map_, np.uint8), POLYP)
    expected = np.full((4, 256), np.nan)
    for low, high, values in pieces:
        expected[:, 255 - high : 256 - low] = np.array(values)[:, None]
    for name, values in zip(("Dice", "IoU", "Sen", "Spe"), expected, strict=True):
        np.testing.assert_allclose(measures[name], values, err_msg=name)
    scores = benchmark_scores(measures)
    assert scores["meanDice"] == pytest.approx(expected[0].mean())
    assert scores["maxDice"] == pytest.approx(expected[0].max())


def _blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :52]
    radius = np.hypot(y - rng.uniform(10, 30), x - rng.uniform(10, 40))
    map_ = np.clip(260 - 14 * np.hypot(y - 20, x - 26) + rng.normal(0, 9, y.shape), 0, 255 - 30 * (seed % 3))
    return map_.astype(np.uint8), radius < rng.uniform(4, 12)


FRAMES = {
    **{f"blob {seed}": _blobs(seed) for seed in range(4)},
    "no polyp": (_blobs(5)[0], np.zeros((40, 52), bool)),
    "all polyp": (_blobs(5)[0], np.ones((40, 52), bool)),
    "constant": (np.full((40, 52), 77, np.uint8), _blobs(5)[1]),
    "black": (np.zeros((40, 52), np.uint8), _blobs(5)[1]),
    "black, no polyp": (np.zeros((40, 52), np.uint8), np.zeros((40, 52), bool)),
}


@pytest.mark.parametrize(("map_", "mask"), FRAMES.values(), ids=FRAMES)
def test_equals_pysodmetrics(map_: np.ndarray, mask: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fmeasure is deprecated
        metrics = Smeasure(), WeightedFmeasure(), MAE(), Emeasure(), Fmeasure()
    for metric in metrics:
        metric.step(map_, mask.astype(np.uint8) * 255)
    s, w, mae, em, fm = (metric.get_results() for metric in metrics)
    expected = {
        "Smeasure": s["sm"],
        "wFmeasure": w["wfm"],
        "MAE": mae["mae"],
        "adpEm": em["em"]["adp"],
        "adpFm": fm["fm"]["adp"],
        "Em": em["em"]["curve"],
        "Fm": fm["fm"]["curve"],
    }
    measures = frame_measures(map_, mask)
    for name, value in expected.items():
        np.testing.assert_allclose(measures[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_maximum_is_taken_last() -> None:
    maps = [[254, 100], [0, 0]], [[100, 254], [0, 0]]  # 100 is stretched to 100.4
    scores = benchmark_scores(average([frame_measures(np.array(map_, np.uint8), POLYP) for map_ in maps]))
    assert list(scores) == list(BENCHMARK_SCORES)
    # Above 100 the first has 1 and the second 0; from 100 down both have 2/3; at 0 both have 2/5.
    assert scores["maxDice"] == pytest.approx(2 / 3)
    assert scores["meanDice"] == pytest.approx((155 * 0.5 + 100 * 2 / 3 + 2 / 5) / 256)


def test_thresholds_fall_from_1_to_0() -> None:
    np.testing.assert_allclose(THRESHOLDS, np.arange(255, -1, -1) / 255)


# Probabilities and the map that the released program saves: it cuts where rounding would give the next level.
RELEASED_MAPS = [
    ("cut, not rounded", [[0.0, 0.499, 0.999, 1.0]], [[0, 127, 254, 255]]),
    ("stretched", [[0.25, 0.5, 0.75]], [[0, 127, 255]]),
    ("constant", [[0.7, 0.7]], [[0, 0]]),
    ("a narrow range peaks at 254", [[0.0, 0.2]], [[0, 254]]),
    ("a very narrow range peaks lower", [[0.0, 1e-7]], [[0, 231]]),
]


@pytest.mark.parametrize(("_", "probability", "expected"), RELEASED_MAPS, ids=[case[0] for case in RELEASED_MAPS])
def test_released_map(_: str, probability: list[list[float]], expected: list[list[int]]) -> None:
    map_ = released_map(np.array(probability, np.float32))
    assert map_.dtype == np.uint8
    np.testing.assert_array_equal(map_, expected)


def test_released_map_has_the_levels_of_uint8_of_p_times_255() -> None:
    probability = np.random.default_rng(0).random((64, 64), np.float32)
    probability[0, :2] = 0, 1  # already stretched
    np.testing.assert_array_equal(released_map(probability), np.uint8(probability * 255))


def test_shapes_must_be_equal() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        frame_measures(np.zeros((2, 3), np.uint8), POLYP)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py_sod_metrics", None)
    with pytest.raises(InputError, match=r"lsinet_monai\[metrics\]"):
        frame_measures(np.zeros((2, 2), np.uint8), POLYP)
