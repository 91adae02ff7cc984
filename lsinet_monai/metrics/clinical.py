"""What clinicians ask beyond the benchmark: false alarms, lesions found, how soon, and how steadily.

All scores use one fixed threshold on the probability itself, not on a map stretched per frame, and every frame of a
clip, including the first and the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from lsinet_monai.masks.doubt import mask_change
from lsinet_monai.masks.scores import frame_score, has_polyp, uncertainty
from lsinet_monai.masks.tracking import LesionLinker
from lsinet_monai.metrics.clip_dice import frame_dice

__all__ = ["ClinicalCounts", "ClinicalScorer", "clinical_scores"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass
class ClinicalCounts:
    """The counts of one clip, made by :class:`ClinicalScorer`."""

    threshold: float
    frames: int = 0
    dice: float = 0.0
    """Sum over the frames of their Dice."""
    frame_score: float = 0.0
    """Sum over the frames of their frame scores."""
    uncertainty: float = 0.0
    """Sum over the frames of their uncertainty, in bits."""
    negative_frames: int = 0
    """Frames without a polyp: their true mask is empty."""
    false_positive_frames: int = 0
    """Frames without a polyp on which one is predicted."""
    negative_specificity: float = 0.0
    """Sum over the frames without a polyp of the fraction of pixels not predicted as polyp."""
    pairs: int = 0
    """Pairs of successive frames of the same size."""
    flicker: float = 0.0
    """Sum over the pairs of how much more the predicted mask changes than the true one."""
    first_detections: tuple[int | None, ...] = ()
    """For each lesion the frames from its first appearance to its detection: 0 if at once, None if never."""


class ClinicalScorer:
    """Collect one clip's counts for :func:`clinical_scores`, frame by frame. Memory does not grow with the clip.

    Args:
        threshold: a pixel is predicted as polyp if its probability is above this, in [0, 1].
        min_area: a frame has a predicted polyp if the predicted mask covers more than this fraction of it
            (:func:`lsinet_monai.masks.has_polyp`). Only such a frame can detect lesions or be a false positive. A
            lesion counts if it covers more than this in any frame.
    """

    def __init__(self, threshold: float = 0.5, min_area: float = 0.001) -> None:
        self.threshold = threshold
        self.min_area = min_area
        self._counts = ClinicalCounts(threshold)
        self._linker = LesionLinker()
        self._lesions: dict[int, _Lesion] = {}
        self._previous: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, probability: np.ndarray, mask: np.ndarray) -> float:
        """Add the next frame.

        Args:
            probability: float32, (H, W), in [0, 1].
            mask: the true mask, bool, (H, W).

        Returns:
            The frame's Dice, in [0, 1].

        Raises:
            InputError: the probability contains NaN.
        """
        counts, prediction = self._counts, probability > self.threshold
        dice = frame_dice(prediction, mask)
        counts.dice += dice
        counts.frame_score += frame_score(probability)
        counts.uncertainty += uncertainty(probability)
        if not mask.any():
            counts.negative_frames += 1
            counts.false_positive_frames += has_polyp(prediction, self.min_area)
            counts.negative_specificity += 1 - float(prediction.mean())
        if self._previous is not None and self._previous[1].shape == mask.shape:
            counts.pairs += 1
            excess = mask_change(self._previous[0], prediction) - mask_change(self._previous[1], mask)
            counts.flicker += max(0.0, excess)
        self._previous = prediction, mask
        self._follow_lesions(prediction, mask)
        counts.frames += 1
        return dice

    def counts(self) -> ClinicalCounts:
        """Return the counts so far."""
        lesions = [lesion for lesion in self._lesions.values() if lesion.largest > self.min_area]
        detections = (None if lesion.detected is None else lesion.detected - lesion.appeared for lesion in lesions)
        return replace(self._counts, first_detections=tuple(detections))

    def _follow_lesions(self, prediction: np.ndarray, mask: np.ndarray) -> None:
        labels = self._linker(mask)
        if not mask.any():
            return
        now = self._counts.frames
        areas = np.bincount(labels[mask])
        for lesion_id in np.flatnonzero(areas).tolist():
            lesion = self._lesions.setdefault(lesion_id, _Lesion(now))
            lesion.largest = max(lesion.largest, int(areas[lesion_id]) / mask.size)
        # A speck too small to be a false positive is too small to be a detection.
        for row, column in _centroids(prediction) if has_polyp(prediction, self.min_area) else ():
            found = self._lesions.get(int(labels[row, column]))
            if found is not None and found.detected is None:
                found.detected = now


@dataclass
class _Lesion:
    appeared: int
    detected: int | None = None
    largest: float = 0.0


def _centroids(mask: np.ndarray) -> list[tuple[int, int]]:
    """The pixel nearest to the centroid of each 8-connected part of a mask."""
    parts, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
    boxes = ndimage.find_objects(parts)
    centroids = []
    for part, (rows, columns) in enumerate(boxes, start=1):
        inside = np.argwhere(parts[rows, columns] == part)
        row, column = np.rint(inside.mean(0)).astype(int).tolist()
        centroids.append((rows.start + row, columns.start + column))
    return centroids


def clinical_scores(clips: Sequence[ClinicalCounts], frames_per_second: float = 30.0) -> dict[str, float | int | None]:
    """Compute the scores of one or several clips.

    Scores of lesions and of frames without a polyp pool all clips; the others are means over the clips.

    - ``dice_at_<threshold>``: the mean Dice of a clip's frames at the threshold, 1 if truth and prediction are empty
      (:func:`lsinet_monai.metrics.frame_dice`).
    - ``lesions``: the number of lesions. :class:`lsinet_monai.masks.LesionLinker` follows a lesion through its clip;
      one that returns after a longer gap than it bridges is a new lesion. Lesions that never cover more than
      ``min_area`` are not counted.
    - ``lesion_detection_rate``: the fraction of lesions detected in at least one frame. A frame detects a lesion if a
      polyp is predicted on it and the centroid of a connected part of the predicted mask lies in the lesion (Bernal et
      al., "Comparative Validation of Polyp Detection Methods in Video Colonoscopy", IEEE Transactions on Medical
      Imaging 36, 2017).
    - ``frames_to_detection``: the median over the detected lesions of the frames from a lesion's first appearance to
      its detection; 0 is at once (first detection time: Fitting et al., "A video based benchmark data set (ENDOTEST)
      to evaluate computer-aided polyp detection systems", Scandinavian Journal of Gastroenterology 57, 2022). Divide
      by ``frames_per_second`` for seconds.
    - ``negative_frames``: the number of frames without a polyp.
    - ``false_positives_per_minute``: the frames without a polyp on which one is predicted, per minute of such frames
      (Hassan et al., "Computer-aided detection-assisted colonoscopy: classification and relevance of false positives",
      Gastrointestinal Endoscopy 92, 2020; counted by frame, the shortest of the definitions that Holzwanger et al.,
      Endoscopy 53, 2021, compare).
    - ``negative_specificity``: the fraction of frames without a polyp on which none is predicted (specificity by frame:
      Misawa et al., "Development of a computer-aided detection system for colonoscopy and a publicly accessible large
      colonoscopy video database", Gastrointestinal Endoscopy 93, 2021).
    - ``negative_pixel_specificity``: the mean fraction of pixels not predicted as polyp on frames without one.
    - ``flicker``: how much more the predicted mask changes between successive frames than the true one. A mask's change
      is 1 - IoU of the two frames. Each pair of frames counts the prediction's change minus the truth's, or 0 if the
      truth changes more; the score is the mean over the pairs. It is 0 for the truth itself and for a constant mask
      (after Varghese et al., "Unsupervised Temporal Consistency Metric for Video Segmentation in Highly-Automated
      Driving", CVPR Workshops 2020, who take the expected change from optical flow instead of the truth).
    - ``frame_score`` and ``uncertainty``: the mean over a clip's frames (:func:`lsinet_monai.masks.frame_score`,
      :func:`lsinet_monai.masks.uncertainty`).

    Args:
        clips: the counts of at least one clip, all at the same threshold.
        frames_per_second: the clips' frame rate; SUN-SEG has 30.

    Returns:
        The scores by name; None for a score without any frame, pair of frames or lesion to compute it from.
    """
    detections = [frames for clip in clips for frames in clip.first_detections]
    found = [frames for frames in detections if frames is not None]
    negative = sum(clip.negative_frames for clip in clips)
    false_positives = sum(clip.false_positive_frames for clip in clips)
    minutes = negative / frames_per_second / 60

    def mean(name: str, count: str = "frames") -> float | None:
        means = [getattr(clip, name) / getattr(clip, count) for clip in clips if getattr(clip, count)]
        return float(np.mean(means)) if means else None

    return {
        f"dice_at_{clips[0].threshold:g}": mean("dice"),
        "lesions": len(detections),
        "lesion_detection_rate": len(found) / len(detections) if detections else None,
        "frames_to_detection": float(np.median(found)) if found else None,
        "negative_frames": negative,
        "false_positives_per_minute": false_positives / minutes if negative else None,
        "negative_specificity": 1 - false_positives / negative if negative else None,
        "negative_pixel_specificity": (
            sum(clip.negative_specificity for clip in clips) / negative if negative else None
        ),
        "flicker": mean("flicker", "pairs"),
        "frame_score": mean("frame_score"),
        "uncertainty": mean("uncertainty"),
    }
