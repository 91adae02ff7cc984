"""The scores that papers on video polyp segmentation report, equal to those of SUN-SEG's evaluation toolbox.

The toolbox: Ji et al., "Video Polyp Segmentation: A Deep Learning Perspective", Machine Intelligence Research 19, 2022,
section 5, https://github.com/GewelsJI/VPS. It stretches each map to [0, 1] and leaves out a clip's first and last
frame. It averages each measure over the frames of a clip, then over the clips, per threshold if the measure has one;
last of all it takes the mean or the maximum over the 256 thresholds.
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
"""The measures of a frame, a clip or a split by name: shape (), or (256,) if a measure depends on the threshold."""

THRESHOLDS = np.linspace(1, 0, 256)
"""The thresholds of the measures of shape (256,): a pixel of the stretched map, in [0, 1], is polyp from there on."""

_CURVES = ("Em", "Fm", "Dice", "IoU", "Sen", "Spe")

BENCHMARK_SCORES = (
    *("Smeasure", "meanEm", "maxEm", "adpEm", "wFmeasure", "meanFm", "maxFm", "adpFm", "meanDice", "maxDice"),
    *("meanIoU", "maxIoU", "meanSen", "maxSen", "meanSpe", "maxSpe", "MAE"),
)
"""The names of the benchmark's scores, in the toolbox's order."""


def released_map(probability: np.ndarray) -> np.ndarray:
    """Stretch a probability map and convert it to 8 bits exactly as the released program saves it.

    The stretch gives every frame a full-strength polyp, even one without a polyp: use it for the benchmark alone.

    Args:
        probability: float, (H, W), in [0, 1].

    Returns:
        uint8, (H, W): 255 (p - min) / (max - min + 1e-8), computed in float32 and cut, not rounded. The highest level
        is 255, but 254 or less where max - min is below 0.25, since 1e-8 then counts; a constant map becomes 0.

    Source: LSI-Net (SALI), MICCAI 2024, released inference program.
    """
    values = np.asarray(probability, np.float32)
    stretched = (values - values.min()) / (values.max() - values.min() + 1e-8)
    return (255 * stretched).astype(np.uint8)


def too_short_notice(clips: Iterable[str]) -> str:
    """Name the clips that the benchmark cannot score, because they have no frame between the first and the last.

    Args:
        clips: their names, at least one.

    Returns:
        A line for a person.
    """
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
    ``Spe``       (256,)  specificity, TN / (TN + FP), and 0 at thresholds without a true positive
    ============  ======  ========================================================================================

    On a frame without a polyp Fm, Dice, IoU, Sen and Spe are 0 for any prediction, as in the toolbox, which expects a
    polyp in every frame. :mod:`lsinet_monai.metrics.clinical` scores frames without one.

    Args:
        map_: the predicted map, uint8, (H, W), stretched or not.
        mask: the true mask, bool, (H, W).

    Returns:
        The measures, in [0, 1].

    Raises:
        InputError: pysodmetrics is not installed.
        ValueError: the shapes differ.
    """
    if map_.shape != mask.shape:
        raise ValueError(f"map {map_.shape} and mask {mask.shape} differ in shape")
    sod = require_extra("py_sod_metrics", "metrics")
    # The stretched value of each of the 256 levels, by pysodmetrics' operations in their order.
    levels = np.arange(256) / 255
    low, high = levels[map_.min()], levels[map_.max()]
    if high > low:
        levels = np.clip((levels - low) / (high - low), 0, 1)
    prediction = levels[map_]

    structure, error = sod.Smeasure(), sod.MAE()
    for metric in (structure, error):
        metric.step(prediction, mask, normalize=False)

    # Why pysodmetrics does not compute everything: its weighted F and E-measure equal ours, but take a frame of 384x288
    # from 10 to 26 ms. Its Dice, IoU, sensitivity and specificity differ from the toolbox by up to 7e-4: it cuts the
    # map to 8 bits before thresholding, and lets specificity count without a true positive. So the map's pixels are
    # counted once, by level, inside and outside the mask, and pysodmetrics' handlers get the counts.
    inside, everywhere = (np.bincount(pixels, minlength=256) for pixels in (map_[mask], map_.ravel()))

    def count(reaches: np.ndarray) -> dict[str, np.ndarray]:
        """Confusion counts of the masks of all levels for which ``reaches``, (256,) or (256, thresholds), is 1."""
        tp, positive, polyp = inside @ reaches, everywhere @ reaches, inside.sum()
        return {"tp": tp, "fp": positive - tp, "fn": polyp - tp, "tn": mask.size - polyp - (positive - tp)}

    exact = count((levels[:, None] >= THRESHOLDS).astype(np.float64))
    in_8_bits = count(((255 * levels).astype(np.uint8)[:, None] >= np.arange(255, -1, -1)).astype(np.float64))
    adaptive = count((levels >= min(2 * prediction.mean(), 1)).astype(np.float64))

    def rate(name: str, counts: dict[str, np.ndarray], **options: Any) -> np.ndarray:
        return getattr(sod, f"{name}Handler")(with_dynamic=False, with_adaptive=False, **options)(**counts)

    return {
        "Smeasure": np.asarray(structure.get_results()["sm"]),
        "wFmeasure": np.asarray(_weighted_f(prediction, mask)),
        "MAE": np.asarray(error.get_results()["mae"]),
        "adpEm": _enhanced_alignment(**adaptive),
        "adpFm": rate("Fmeasure", adaptive, beta=0.3),
        "Em": _enhanced_alignment(**in_8_bits),
        "Fm": rate("Fmeasure", in_8_bits, beta=0.3),
        "Dice": rate("DICE", exact),
        "IoU": rate("IOU", exact),
        "Sen": rate("Sensitivity", exact),
        "Spe": np.where(exact["tp"] > 0, rate("Specificity", exact), 0),
    }


_GAUSSIAN = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 5**2))
_GAUSSIAN /= _GAUSSIAN.sum()


def _weighted_f(prediction: np.ndarray, mask: np.ndarray) -> float:
    """The weighted F-measure (Margolin et al., CVPR 2014, equations 8 to 14), beta 1; 0 if the mask is empty."""
    if not mask.any():
        return 0.0
    distance, (nearest_row, nearest_column) = ndimage.distance_transform_edt(~mask, return_indices=True)
    error = np.abs(prediction - mask)
    # Inside the polyp an error counts at most as much as the smoothed errors around it. To smooth, a pixel outside has
    # the error of its nearest pixel inside. Only pixels within reach of the 7x7 Gaussian, which is separable, matter.
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[max(rows[0] - 3, 0) : rows[-1] + 4, max(columns[0] - 3, 0) : columns[-1] + 4]
    smoothed = error[nearest_row[box], nearest_column[box]]
    for axis in (0, 1):
        smoothed = ndimage.correlate1d(smoothed, _GAUSSIAN, axis, mode="constant")
    inside = np.minimum(error[box], smoothed)[mask[box]]
    # Outside, an error's weight grows from 1 to 2 with its distance from the polyp.
    outside = (error * (2 - np.exp(np.log(0.5) / 5 * distance)))[~mask]
    tp, fp = inside.size - inside.sum(), outside.sum()
    recall, precision = 1 - inside.mean(), tp / (tp + fp + np.spacing(1))
    return float(2 * recall * precision / (recall + precision + np.spacing(1)))


def _enhanced_alignment(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> np.ndarray:
    """The E-measure (Fan et al., IJCAI 2018, equations 2 to 5) from confusion counts."""
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
    """Average measures, per threshold.

    Args:
        measures: those of some frames or clips, at least one.

    Returns:
        Their mean, with the same names and shapes.
    """
    return {name: np.mean([each[name] for each in measures], axis=0) for name in measures[0]}


def benchmark_scores(measures: Measures) -> dict[str, float]:
    """Take the mean and the maximum over the thresholds.

    Args:
        measures: a clip's average over its frames, or a split's average over its clips.

    Returns:
        The scores by the names of :data:`BENCHMARK_SCORES`, in [0, 1]. Higher is better for all but MAE.
    """
    scores = {name: float(value) for name, value in measures.items() if name not in _CURVES}
    for name in _CURVES:
        scores[f"mean{name}"] = float(measures[name].mean())
        scores[f"max{name}"] = float(measures[name].max())
    return {name: scores[name] for name in BENCHMARK_SCORES}
