"""What the benchmark does not say and clinicians ask: false alarms, lesions found, how soon, and how steadily.

All of it is measured at one fixed threshold on the probability itself, never on a map stretched per frame, and on every
frame of a clip, the first and the last included.
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
    """What :class:`ClinicalScorer` counted in one clip."""

    threshold: float
    frames: int = 0
    dice: float = 0.0
    """Sum of the frames' Dice."""
    frame_score: float = 0.0
    """Sum of the frames' scores."""
    uncertainty: float = 0.0
    """Sum of the frames' uncertainties, in bits."""
    negative_frames: int = 0
    """Frames without a polyp: their true mask is empty."""
    false_positive_frames: int = 0
    """Those of them on which one is predicted."""
    negative_specificity: float = 0.0
    """Sum, over the frames without a polyp, of the share of their pixels that is not predicted polyp."""
    pairs: int = 0
    """Pairs of successive frames."""
    flicker: float = 0.0
    """Sum, over the pairs, of the change of the predicted mask beyond the change of the true one."""
    first_detections: tuple[int | None, ...] = ()
    """For each lesion the frames from its first appearance to its detection, 0 if it is at once, None if never."""


class ClinicalScorer:
    """Count, frame by frame through one clip, what :func:`clinical_scores` makes scores of.

    Memory does not grow with the number of frames.

    Args:
        threshold: a pixel is predicted polyp where its probability is above this, in [0, 1].
        min_area: a frame is predicted to have a polyp where more than this fraction of it is, and only then are lesions
            detected in it or is it a false positive; a lesion counts if it ever covers more
            (:func:`lsinet_monai.masks.has_polyp`).
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
            the frame's Dice, in [0, 1].
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
        """What was counted so far."""
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
        # A speck raises no alarm where there is no polyp, and so finds none where there is one.
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
    """The scores of one clip, or of several: of the frames without a polyp and of the lesions all together, else the
    mean over the clips.

    - ``dice_at_<threshold>``: the mean Dice of a clip's frames at the threshold, 1 where truth and prediction are empty
      (:func:`lsinet_monai.metrics.frame_dice`).
    - ``lesions``: how many lesions the clips show. A lesion is followed through its clip by
      :class:`lsinet_monai.masks.LesionLinker`, and one that leaves for longer than that bridges is a new one when it
      comes back; those that never cover more than ``min_area`` are not counted.
    - ``lesion_detection_rate``: the share of them that is detected in at least one frame, that is: a polyp is predicted
      on the frame, and the centroid of a connected part of the predicted mask lies in the lesion (Bernal et al.,
      "Comparative Validation of Polyp Detection Methods in Video Colonoscopy", IEEE Transactions on Medical Imaging 36,
      2017).
    - ``frames_to_detection``: the median, over the detected lesions, of the frames from a lesion's first appearance
      until it is detected; 0 is at once (first detection time: Fitting et al., "A video based benchmark data set
      (ENDOTEST) to evaluate computer-aided polyp detection systems", Scandinavian Journal of Gastroenterology 57,
      2022). Divide by ``frames_per_second`` for seconds.
    - ``negative_frames``: how many frames are without a polyp.
    - ``false_positives_per_minute``: on how many of them one is predicted, by the minutes that they last (false
      positives per minute: Hassan et al., "Computer-aided detection-assisted colonoscopy: classification and relevance
      of false positives", Gastrointestinal Endoscopy 92, 2020; counted here by frame, the shortest of the definitions
      that Holzwanger et al., Endoscopy 53, 2021, compare).
    - ``negative_specificity``: the share of them on which none is predicted (specificity by frame: Misawa et al.,
      "Development of a computer-aided detection system for colonoscopy and a publicly accessible large colonoscopy
      video database", Gastrointestinal Endoscopy 93, 2021).
    - ``negative_pixel_specificity``: the mean share of their pixels that is not predicted polyp.
    - ``flicker``: how much more the predicted mask changes between successive frames than the true one does. The change
      of a mask is 1 - IoU of its two frames; the mean is over the pairs of frames, of the change of the prediction less
      that of the truth, and 0 where the truth changes more. It is 0 for the truth itself, and for a mask that stands
      still. (Consistency of a mask with itself one frame on: Varghese et al., "Unsupervised Temporal Consistency Metric
      for Video Segmentation in Highly-Automated Driving", CVPR Workshops 2020, which takes the motion from optical
      flow; here the truth says how much change there is.)
    - ``frame_score`` and ``uncertainty``: the mean over a clip's frames (:func:`lsinet_monai.masks.frame_score`,
      :func:`lsinet_monai.masks.uncertainty`).

    Args:
        clips: of each clip, what was counted; at least one, and at one threshold.
        frames_per_second: the clips' pace; SUN-SEG has 30.

    Returns:
        the scores, None where nothing is there that they could be taken of.
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
