"""All scores of clips, the benchmark's and the clinical ones: a scorer for one clip, and an Ignite metric."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import CommonKeys

from lsinet_monai.errors import InputError
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.metrics.benchmark import (
    BENCHMARK_SCORES,
    Measures,
    average,
    benchmark_scores,
    frame_measures,
    released_map,
)
from lsinet_monai.metrics.clinical import ClinicalCounts, ClinicalScorer, clinical_scores
from lsinet_monai.metrics.clip_dice import check_pieces
from lsinet_monai.utils.config_values import check_numbers
from lsinet_monai.utils.extras import require_extra

__all__ = ["ClipResult", "ClipScorer", "ClipScores", "split_scores"]

logger = logging.getLogger(__name__)

Scores = dict[str, float | int | None]

_WORST_FRAMES = 8


@dataclass(frozen=True)
class ClipResult:
    """One clip's results, from which :func:`split_scores` computes scores."""

    measures: Measures | None
    """The benchmark's measures, averaged over the clip's frames. None for a clip of one or two frames, and if the
    benchmark is switched off."""
    benchmark_frames: int
    """The number of frames that the benchmark scores: all but the first and the last."""
    clinical: ClinicalCounts
    worst_frames: tuple[tuple[float, float, int], ...]
    """The frames with the lowest Dice, worst first: Dice, minus the fraction of wrong pixels, index."""


class ClipScorer:
    """Score one clip, frame by frame, in order. Memory does not grow with the number of frames.

    Args:
        threshold: for the clinical scores, a pixel is predicted as polyp if its probability is above this, in [0, 1].
        min_area: a frame has a polyp if its mask covers more than this fraction of it, in [0, 1].
        benchmark: compute the benchmark's measures too, which needs pysodmetrics.
    """

    def __init__(self, threshold: float = 0.5, min_area: float = 0.001, benchmark: bool = True) -> None:
        self._clinical = ClinicalScorer(threshold, min_area)
        self._benchmark = benchmark
        self._sums: Measures | None = None
        self._benchmark_frames = 0
        self._worst: list[tuple[float, float, int]] = []  # a heap: -Dice, fraction of wrong pixels, -index

    def add(self, index: int, is_last: bool, map_: np.ndarray, mask: np.ndarray, probability: np.ndarray) -> None:
        """Add a frame.

        Args:
            index: the frame's number in its clip, from 0.
            is_last: whether the frame is the clip's last.
            map_: the benchmark's map, uint8, (H, W), stretched or not.
            mask: the true mask, bool, (H, W).
            probability: the probability of a polyp, not stretched, float32, (H, W), in [0, 1].

        Raises:
            InputError: pysodmetrics is not installed but the benchmark needs it, or the probability contains NaN.
            ValueError: the shapes differ.
        """
        if self._benchmark and index > 0 and not is_last:
            measures = frame_measures(map_, mask)
            self._sums = measures if self._sums is None else {k: v + measures[k] for k, v in self._sums.items()}
            self._benchmark_frames += 1
        dice = self._clinical.add(probability, mask)
        keep = heapq.heappushpop if len(self._worst) == _WORST_FRAMES else heapq.heappush
        wrong = float(np.mean((probability > self._clinical.threshold) != mask))
        keep(self._worst, (-dice, wrong, -index))

    def result(self) -> ClipResult:
        """Return the result so far."""
        measures = self._sums and {name: total / self._benchmark_frames for name, total in self._sums.items()}
        worst = tuple(sorted((-dice, -wrong, -index) for dice, wrong, index in self._worst))
        return ClipResult(measures, self._benchmark_frames, self._clinical.counts(), worst)


def split_scores(clips: Mapping[str, ClipResult], frames_per_second: float = 30.0) -> dict[str, Any]:
    """Compute the scores of a split and of each of its clips.

    Args:
        clips: the results of at least one clip, by case.
        frames_per_second: the clips' frame rate.

    Returns:
        ``dataset``, the scores of the split, and ``cases``, the scores of each clip by case. Both hold the benchmark's
        scores (:data:`~lsinet_monai.metrics.BENCHMARK_SCORES`) and the clinical ones
        (:func:`~lsinet_monai.metrics.clinical_scores`); None for a score without anything to compute it from. The
        benchmark's scores of the split average over the clips, not over the frames.
    """
    return {
        "dataset": _scores(list(clips.values()), frames_per_second),
        "cases": {case: _scores([clip], frames_per_second) for case, clip in clips.items()},
    }


def _scores(clips: Sequence[ClipResult], frames_per_second: float) -> Scores:
    measures = [clip.measures for clip in clips if clip.measures is not None]
    benchmark = benchmark_scores(average(measures)) if measures else dict.fromkeys(BENCHMARK_SCORES)
    return {**benchmark, **clinical_scores([clip.clinical for clip in clips], frames_per_second)}


class ClipScores(Metric):
    """All scores of :func:`split_scores`, for a MONAI evaluator that runs whole clips or pieces of them.

    Every clip has the same weight. The pieces of one clip must come in order and on one process, as an inferer with a
    memory needs them anyway. Different clips may be on different processes; :meth:`compute` joins them, and every
    process must call it, even one without a clip. MONAI's engines skip an empty run, so give every process a clip; a
    clip that several processes have counts once.

    Attached to an engine, among its ``additional_metrics``, it reads ``pred`` and ``label`` from the engine's output
    and ``clip_id``, ``frame_index`` and ``is_last`` from its batch. The evaluator needs ``decollate=False``. All scores
    of the dataset appear in the engine's state under their own names. The benchmark's measures take 10 ms for a frame
    of 384x288 on the CPU: as a training's key metric use :class:`~lsinet_monai.metrics.ClipDice`. Without pysodmetrics
    the benchmark's scores are None, which is logged once; the clinical scores do not need it.

    Args:
        threshold: for the clinical scores, a pixel is predicted as polyp if its probability is above this, in [0, 1].
        min_area: a frame has a polyp if its mask covers more than this fraction of it, in [0, 1].
        frames_per_second: the clips' frame rate.

    Raises:
        InputError: ``threshold`` is not in [0, 1], or ``frames_per_second`` is not above 0.

    Attributes:
        benchmark: whether pysodmetrics is installed.
        per_clip: the result of every clip on all processes, set by :meth:`compute`.
    """

    def __init__(self, threshold: float = 0.5, min_area: float = 0.001, frames_per_second: float = 30.0) -> None:
        try:
            require_extra("py_sod_metrics", "metrics")
            self.benchmark = True
        except InputError as error:
            logger.warning(f"only the clinical scores are computed, not the benchmark's: {error}")
            self.benchmark = False
        check_numbers(threshold=threshold, frames_per_second=frames_per_second)
        self.threshold = threshold
        self.min_area = min_area
        self.frames_per_second = frames_per_second
        super().__init__()

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all clips; an engine calls this at the start of every epoch."""
        self._scorers: dict[str, tuple[ClipScorer, int]] = {}  # with the number of the next frame
        self.per_clip: dict[str, ClipResult] = {}

    def iteration_completed(self, engine: Engine) -> None:
        """Read the engine's output and, since an output transform cannot reach it, its batch."""
        output, batch = engine.state.output, engine.state.batch
        pred, label = output[CommonKeys.PRED], output[CommonKeys.LABEL]
        self.update((pred, label, batch["clip_id"], batch["frame_index"], batch["is_last"]))

    @reinit__is_reduced
    @torch.no_grad()
    def update(self, output: tuple[torch.Tensor, torch.Tensor, Sequence[str], Sequence[int], Sequence[bool]]) -> None:
        """Add a batch of clips or of pieces of clips.

        Args:
            output: logits, (B, 1, T, h, w); label, (B, 1, T, H, W), 0 or 1; and for each of the B pieces the clip's
                name, the number of the piece's first frame in the clip, and whether the piece is the clip's last.
                Logits are resized to the label's size, frame by frame, before they become probabilities.

        Raises:
            ValueError: the five do not match in number or shape, or a piece does not continue its clip.
            InputError: a logit is NaN.
        """
        logits, label, clip_ids, frame_indices, are_last = output
        logits, label = check_pieces(logits, label, clip_ids)
        for clip_id, frame_index, is_last, clip_logits, clip_label in zip(
            clip_ids, frame_indices, are_last, logits, label, strict=True
        ):
            scorer, expected = self._scorers.setdefault(clip_id, (self._scorer(), 0))
            if int(frame_index) != expected:
                raise ValueError(f"clip {clip_id!r} continues with frame {int(frame_index)}, expected {expected}")
            for at, (logit, frame_label) in enumerate(zip(clip_logits, clip_label, strict=True)):
                probability = logit_to_probability(logit, frame_label.shape).cpu().numpy()
                ends = bool(is_last) and at == len(clip_label) - 1
                mask = (frame_label > 0.5).cpu().numpy()
                scorer.add(expected + at, ends, released_map(probability), mask, probability)
            self._scorers[clip_id] = scorer, expected + len(clip_label)

    def _scorer(self) -> ClipScorer:
        return ClipScorer(self.threshold, self.min_area, self.benchmark)

    def compute(self) -> Scores:
        """Join the clips of all processes and compute the scores of the dataset.

        Raises:
            NotComputableError: no clip was added.
        """
        results = {clip_id: scorer.result() for clip_id, (scorer, _) in self._scorers.items()}
        # A sampler that gives every process equally many clips repeats some: one clip counts once.
        joined = {clip_id: result for part in idist.all_gather(results) for clip_id, result in part.items()}
        if not joined:
            raise NotComputableError("ClipScores needs at least one clip before it can be computed")
        self.per_clip = dict(sorted(joined.items()))
        return _scores(list(self.per_clip.values()), self.frames_per_second)
