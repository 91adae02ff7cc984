"""The scores that papers on video polyp segmentation report, to the last digit of SUN-SEG's evaluation toolbox.

The toolbox: Ji et al., "Video Polyp Segmentation: A Deep Learning Perspective", Machine Intelligence Research 19, 2022,
section 5, https://github.com/GewelsJI/VPS. A map is stretched to [0, 1] before it is scored; the first and the last
frame of a clip are left out; what depends on a threshold is averaged per threshold over the frames of a clip, then over
the clips; the mean or maximum over the 256 thresholds is taken last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from lsinet_monai.utils.extras import require_extra

__all__ = [
    "BENCHMARK_SCORES",
    "THRESHOLDS",
    "Measures",
    "average",
    "benchmark_scores",
    "frame_measures",
    "released_map",
    "too_short_notice",
]

Measures = dict[str, np.ndarray]
"""The measures of a frame, a clip or a split by name: of shape (), or (256,) if one depends on the threshold."""

THRESHOLDS = np.linspace(1, 0, 256)
"""The thresholds of measures of shape (256,), on a map stretched to [0, 1]: a pixel is polyp where it is as high."""

_CURVES = ("Em", "Fm", "Dice", "IoU", "Sen", "Spe")

BENCHMARK_SCORES = (
    *("Smeasure", "meanEm", "maxEm", "adpEm", "wFmeasure", "meanFm", "maxFm", "adpFm", "meanDice", "maxDice"),
    *("meanIoU", "maxIoU", "meanSen", "maxSen", "meanSpe", "maxSpe", "MAE"),
)
"""The names of the benchmark's scores, in the toolbox's order."""


def released_map(probability: np.ndarray) -> np.ndarray:
    """Make of a probability map the benchmark's map, as the released program saves it: stretched, 8-bit.

    The stretch gives every frame a full-strength polyp, also one that has none: it is for the benchmark alone.

    Args:
        probability: float, (H, W), in [0, 1].

    Returns:
        uint8, (H, W): 255 (p - min) / (max - min + 1e-8), rounded.
    """
    low, high = float(probability.min()), float(probability.max())
    return np.rint(255 * ((probability - low) / (high - low + 1e-8))).astype(np.uint8)


def too_short_notice(clips: Iterable[str]) -> str:
    """Say which clips the benchmark cannot score, for they have no frame between their first and last one."""
    return f"too short for the benchmark, which leaves out two frames: {', '.join(sorted(clips))}"


def frame_measures(map_: np.ndarray, mask: np.ndarray) -> Measures:
    """Measure one frame's map.

    ============  ======  ========================================================================================
    ``Smeasure``  ()      structure measure (Fan et al., ICCV 2017), alpha 0.5
    ``wFmeasure`` ()      weighted F-measure (Margolin et al., CVPR 2014), beta 1
    ``MAE``       ()      mean absolute error of the stretched map
    ``adpEm``     ()      E-measure at twice the map's mean
    ``adpFm``     ()      F-measure at twice the map's mean
    ``Em``        (256,)  enhanced-alignment measure (Fan et al., IJCAI 2018)
    ``Fm``        (256,)  F-measure, beta squared 0.3 (Achanta et al., CVPR 2009)
    ``Dice``      (256,)  2 TP / (2 TP + FP + FN)
    ``IoU``       (256,)  TP / (TP + FP + FN)
    ``Sen``       (256,)  sensitivity, TP / (TP + FN)
    ``Spe``       (256,)  specificity, TN / (TN + FP), and 0 at thresholds that find nothing of the polyp
    ============  ======  ========================================================================================

    On a frame without a polyp Fm, Dice, IoU, Sen and Spe are 0 whatever is predicted, as in the toolbox, which was made
    for frames with one: see :mod:`lsinet_monai.metrics.clinical` for the others.

    Args:
        map_: the predicted map, uint8, (H, W), stretched or not.
        mask: the true mask, bool, (H, W).

    Returns:
        the measures, in [0, 1].

    Raises:
        InputError: pysodmetrics is not installed.
        ValueError: the shapes differ.
    """
    if map_.shape != mask.shape:
        raise ValueError(f"map {map_.shape} and mask {mask.shape} differ in shape")
    sod = require_extra("py_sod_metrics", "metrics")
    # What each of the 256 levels becomes when the map is stretched, with pysodmetrics' own operations in their order.
    levels = np.arange(256) / 255
    low, high = levels[map_.min()], levels[map_.max()]
    if high > low:
        levels = np.clip((levels - low) / (high - low), 0, 1)
    prediction = levels[map_]

    structure, error = sod.Smeasure(), sod.MAE()
    for metric in (structure, error):
        metric.step(prediction, mask, normalize=False)

    # pysodmetrics has all the other measures too. Its weighted F-measure equals the toolbox to 1e-15, and takes two
    # thirds of the time of all: _weighted_f gives the same number in a quarter of it. Its E and F equal the toolbox as
    # well, but count the map's pixels anew for each: here they are counted once, by level, inside and outside the mask;
    # its handlers take the counts, and its E-measure, which takes none, is written below. Of Dice, IoU, sensitivity and
    # specificity it gives other numbers than the toolbox: it takes the thresholds from the map times 255, rounded down,
    # where the toolbox compares the map with the thresholds themselves, which moves the means by up to 3e-6; and the
    # toolbox's specificity is 0 where there is no true positive, which moves its mean by up to 7e-4.
    inside, everywhere = (np.bincount(pixels, minlength=256) for pixels in (map_[mask], map_.ravel()))

    def count(reaches: np.ndarray) -> dict[str, np.ndarray]:
        """Confusion counts of masks that hold the levels which ``reaches``, (256,) or (256, thresholds), has as 1."""
        tp, positive, polyp = inside @ reaches, everywhere @ reaches, inside.sum()
        return {"tp": tp, "fp": positive - tp, "fn": polyp - tp, "tn": mask.size - polyp - (positive - tp)}

    exact = count((levels[:, None] >= THRESHOLDS).astype(np.float64))
    rounded = count(((255 * levels).astype(np.uint8)[:, None] >= np.arange(255, -1, -1)).astype(np.float64))
    adaptive = count((levels >= min(2 * prediction.mean(), 1)).astype(np.float64))

    def rate(name: str, counts: dict[str, np.ndarray], **options: Any) -> np.ndarray:
        return getattr(sod, f"{name}Handler")(with_dynamic=False, with_adaptive=False, **options)(**counts)

    return {
        "Smeasure": np.asarray(structure.get_results()["sm"]),
        "wFmeasure": np.asarray(_weighted_f(prediction, mask)),
        "MAE": np.asarray(error.get_results()["mae"]),
        "adpEm": _enhanced_alignment(**adaptive),
        "adpFm": rate("Fmeasure", adaptive, beta=0.3),
        "Em": _enhanced_alignment(**rounded),
        "Fm": rate("Fmeasure", rounded, beta=0.3),
        "Dice": rate("DICE", exact),
        "IoU": rate("IOU", exact),
        "Sen": rate("Sensitivity", exact),
        "Spe": np.where(exact["tp"] > 0, rate("Specificity", exact), 0),
    }


_GAUSSIAN = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 5**2))
_GAUSSIAN /= _GAUSSIAN.sum()


def _weighted_f(prediction: np.ndarray, mask: np.ndarray) -> float:
    """The weighted F-measure (Margolin et al., CVPR 2014, equations 8 to 14), beta 1; 0 where there is no polyp."""
    if not mask.any():
        return 0.0
    distance, (nearest_row, nearest_column) = ndimage.distance_transform_edt(~mask, return_indices=True)
    error = np.abs(prediction - mask)
    # Inside the polyp an error counts as much as those around it do, where that is less, and outside as much as at the
    # nearest pixel inside. Nothing farther from the polyp than the 7x7 Gaussian reaches need be smoothed, and the
    # Gaussian is the product of two.
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[max(rows[0] - 3, 0) : rows[-1] + 4, max(columns[0] - 3, 0) : columns[-1] + 4]
    smoothed = error[nearest_row[box], nearest_column[box]]
    for axis in (0, 1):
        smoothed = ndimage.correlate1d(smoothed, _GAUSSIAN, axis, mode="constant")
    inside = np.minimum(error[box], smoothed)[mask[box]]
    # Outside, an error counts the more the farther from the polyp it is, up to twice.
    outside = (error * (2 - np.exp(np.log(0.5) / 5 * distance)))[~mask]
    tp, fp = inside.size - inside.sum(), outside.sum()
    recall, precision = 1 - inside.mean(), tp / (tp + fp + np.spacing(1))
    return float(2 * recall * precision / (recall + precision + np.spacing(1)))


def _enhanced_alignment(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """The E-measure of masks with these confusion counts (Fan et al., IJCAI 2018, equations 2 to 5)."""
    size = tp + fp + fn + tn
    polyp, positive = (tp + fn) / size, (tp + fp) / size
    if not (tp + fn).any():
        total = (fn + tn).astype(float)
    elif not (fp + tn).any():
        total = (tp + fp).astype(float)
    else:
        total = np.zeros(np.shape(tp))
        for count, truth, prediction in ((tp, 1, 1), (fp, 0, 1), (fn, 1, 0), (tn, 0, 0)):
            a, b = truth - polyp, prediction - positive
            total = total + count * (2 * a * b / (a * a + b * b + np.spacing(1)) + 1) ** 2 / 4
    return total / (size - 1 + np.spacing(1))


def average(measures: Sequence[Measures]) -> Measures:
    """Average the measures of frames or of clips, at least one, per threshold."""
    return {name: np.mean([each[name] for each in measures], axis=0) for name in measures[0]}


def benchmark_scores(measures: Measures) -> dict[str, float]:
    """Take the mean and the maximum over the thresholds: the scores by the names of :data:`BENCHMARK_SCORES`.

    Args:
        measures: the average over the frames of a clip, or over a split's clips of their averages.

    Returns:
        the scores, in [0, 1]. All but MAE are better the higher they are.
    """
    scores = {name: float(value) for name, value in measures.items() if name not in _CURVES}
    for name in _CURVES:
        scores[f"mean{name}"] = float(measures[name].mean())
        scores[f"max{name}"] = float(measures[name].max())
    return {name: scores[name] for name in BENCHMARK_SCORES}
