"""All scores of clips: the benchmark's and the clinical ones, frame by frame, and as an Ignite metric."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import CommonKeys, convert_to_tensor

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
from lsinet_monai.utils.extras import require_extra

__all__ = ["ClipResult", "ClipScorer", "ClipScores", "split_scores"]

logger = logging.getLogger(__name__)

Scores = dict[str, float | int | None]

_WORST_FRAMES = 8


@dataclass(frozen=True)
class ClipResult:
    """What a clip's scores are made of."""

    measures: Measures | None
    """The benchmark's measures, averaged over its frames; None if there are none: in a clip of one or two frames, or
    where they are not asked for."""
    benchmark_frames: int
    """The frames that the benchmark scores: all but the first and the last."""
    clinical: ClinicalCounts
    worst_frames: tuple[tuple[float, float, int], ...]
    """Of the frames with the lowest Dice: Dice, minus the share of pixels that are wrong, index; the worst first."""


class ClipScorer:
    """Score one clip, frame by frame, in order. Memory does not grow with the number of frames.

    Args:
        threshold: for the clinical scores, a pixel is predicted polyp where its probability is above this, in [0, 1].
        min_area: a frame has a polyp where more than this fraction of it is.
        benchmark: take the benchmark's measures too, for which pysodmetrics is needed.
    """

    def __init__(self, threshold: float = 0.5, min_area: float = 0.001, benchmark: bool = True) -> None:
        self._clinical = ClinicalScorer(threshold, min_area)
        self._benchmark = benchmark
        self._sums: Measures | None = None
        self._benchmark_frames = 0
        self._worst: list[tuple[float, float, int]] = []  # a heap: -Dice, share of wrong pixels, -index

    def add(self, index: int, is_last: bool, map_: np.ndarray, mask: np.ndarray, probability: np.ndarray) -> None:
        """Add a frame.

        Args:
            index: the frame's number in its clip, from 0.
            is_last: whether it is the clip's last.
            map_: the benchmark's map, uint8, (H, W), stretched or not.
            mask: the true mask, bool, (H, W).
            probability: the probability of a polyp, never stretched, float32, (H, W), in [0, 1].

        Raises:
            InputError: pysodmetrics is not installed, and the benchmark's measures are asked for.
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
        """What was found so far."""
        measures = self._sums and {name: total / self._benchmark_frames for name, total in self._sums.items()}
        worst = tuple(sorted((-dice, -wrong, -index) for dice, wrong, index in self._worst))
        return ClipResult(measures, self._benchmark_frames, self._clinical.counts(), worst)


def split_scores(clips: Mapping[str, ClipResult], frames_per_second: float = 30.0) -> dict[str, Any]:
    """Reduce the clips of a split to scores, of the whole and of each.

    Args:
        clips: the clips by case, at least one.
        frames_per_second: their pace.

    Returns:
        ``dataset``, the scores of the split, and ``cases``, those of each clip by case: the benchmark's by
        :data:`~lsinet_monai.metrics.BENCHMARK_SCORES` and the clinical ones of
        :func:`~lsinet_monai.metrics.clinical_scores`; None where there is nothing to score. The split's benchmark
        averages over the clips, not over the frames.
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

    Every clip weighs the same. The pieces of one clip come in order and on one process, as pieces of clips do that an
    inferer with a memory runs; different clips may be on different processes, which :meth:`compute` joins. All of them
    must call it, also one without a clip; MONAI's engines skip a run over no batch, so there every process needs a
    clip, which may be one that another has too: it counts once.

    Attached to an engine (among its ``additional_metrics``) it reads ``pred`` and ``label`` from the engine's output
    and ``clip_id``, ``frame_index`` and ``is_last`` from its batch; the evaluator needs ``decollate=False``. All scores
    of the dataset come to stand in the engine's state under their own names. The benchmark's measures take 10 ms a
    frame of 384x288 on the CPU: for a training's key metric, :class:`~lsinet_monai.metrics.ClipDice` is the one. Where
    pysodmetrics is not installed they are None, which is said once, and the clinical scores are computed all the same.

    Args:
        threshold: for the clinical scores, a pixel is predicted polyp where its probability is above this, in [0, 1].
        min_area: a frame has a polyp where more than this fraction of it is.
        frames_per_second: the clips' pace.

    Raises:
        InputError: the pace is not above 0.

    Attributes:
        benchmark: whether pysodmetrics is there.
        per_clip: the result of every clip, over all processes; filled by :meth:`compute`.
    """

    def __init__(self, threshold: float = 0.5, min_area: float = 0.001, frames_per_second: float = 30.0) -> None:
        try:
            require_extra("py_sod_metrics", "metrics")
            self.benchmark = True
        except InputError as error:
            logger.warning(f"the benchmark's scores are left out, the clinical ones are not: {error}")
            self.benchmark = False
        if not isinstance(frames_per_second, int | float) or not frames_per_second > 0:
            raise InputError(f"frames_per_second={frames_per_second!r} must be a number above 0")
        self.threshold = threshold
        self.min_area = min_area
        self.frames_per_second = frames_per_second
        super().__init__()

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all clips; an engine calls this at the start of every epoch."""
        self._scorers: dict[str, tuple[ClipScorer, int]] = {}  # and the number of the frame that comes next
        self.per_clip: dict[str, ClipResult] = {}

    def iteration_completed(self, engine: Engine) -> None:
        """Read the engine's output, and from its batch what no output transform can reach."""
        output, batch = engine.state.output, engine.state.batch
        pred, label = output[CommonKeys.PRED], output[CommonKeys.LABEL]
        self.update((pred, label, batch["clip_id"], batch["frame_index"], batch["is_last"]))

    @reinit__is_reduced
    @torch.no_grad()
    def update(self, output: tuple[torch.Tensor, torch.Tensor, Sequence[str], Sequence[int], Sequence[bool]]) -> None:
        """Add a batch of clips or of pieces of clips.

        Args:
            output: the logits, (B, 1, T, h, w); the true masks, (B, 1, T, H, W), 0 or 1; and of the B pieces the clip's
                name, the number of the first frame in its clip, and whether the piece ends its clip. The logits are
                resized to the masks' size, frame by frame, before they become probabilities.

        Raises:
            ValueError: the five do not belong together, or a piece does not go on where its clip's last one ended.
        """
        logits, label, clip_ids, frame_indices, are_last = output
        logits = convert_to_tensor(logits, dtype=torch.float32, track_meta=False)
        label = convert_to_tensor(label, track_meta=False)
        if logits.ndim != 5 or label.ndim != 5 or logits.shape[:3] != label.shape[:3] or len(clip_ids) != len(label):
            raise ValueError(
                f"logits {tuple(logits.shape)}, label {tuple(label.shape)} and {len(clip_ids)} clip_ids "
                "are not (B, 1, T, h, w), (B, 1, T, H, W) and B"
            )
        pieces = zip(clip_ids, frame_indices, are_last, logits[:, 0], label[:, 0], strict=True)
        for clip_id, frame_index, is_last, clip_logits, clip_label in pieces:
            scorer, expected = self._scorers.setdefault(clip_id, (self._scorer(), 0))
            if int(frame_index) != expected:
                raise ValueError(f"clip {clip_id!r} goes on with frame {int(frame_index)}, not with {expected}")
            for at, (logit, mask) in enumerate(zip(clip_logits, clip_label, strict=True)):
                probability = logit_to_probability(logit, mask.shape).cpu().numpy()
                ends = bool(is_last) and at == len(clip_label) - 1
                true_mask = (mask > 0.5).cpu().numpy()
                scorer.add(expected + at, ends, released_map(probability), true_mask, probability)
            self._scorers[clip_id] = scorer, expected + len(clip_label)

    def _scorer(self) -> ClipScorer:
        return ClipScorer(self.threshold, self.min_area, self.benchmark)

    def compute(self) -> Scores:
        """Join the clips of all processes, and reduce them to the scores of the dataset.

        Raises:
            NotComputableError: no clip was seen.
        """
        parts = [{clip_id: scorer.result() for clip_id, (scorer, _) in self._scorers.items()}]
        if dist.is_available() and dist.is_initialized():
            mine, parts = parts[0], [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(parts, mine)
        # A sampler that gives every process as many clips as the others repeats some: one clip counts once.
        joined = {clip_id: result for part in parts for clip_id, result in part.items()}
        if not joined:
            raise NotComputableError("ClipScores needs at least one clip before it can be computed")
        self.per_clip = dict(sorted(joined.items()))
        return _scores(list(self.per_clip.values()), self.frames_per_second)
