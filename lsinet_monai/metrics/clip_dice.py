"""Dice of clips: the mean over a clip's frames, then over the clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import CommonKeys, convert_to_tensor

from lsinet_monai.masks import logit_to_probability
from lsinet_monai.utils.config_values import check_numbers

__all__ = ["ClipDice", "frame_dice"]


def frame_dice(prediction: torch.Tensor | np.ndarray, mask: torch.Tensor | np.ndarray) -> float:
    """Compute the Dice coefficient of one frame: 2 |A and B| / (|A| + |B|), or 1 if both masks are empty.

    Args:
        prediction: the predicted mask, bool, (H, W).
        mask: the true mask, bool, of the same shape.

    Returns:
        The Dice coefficient, in [0, 1].

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != mask.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and mask {tuple(mask.shape)} differ in shape")
    total = int(prediction.sum()) + int(mask.sum())
    return 2 * int((prediction & mask).sum()) / total if total else 1.0


def check_pieces(
    logits: torch.Tensor, label: torch.Tensor, clip_ids: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Check that a batch's logits, label and clip ids match in number and shape.

    Args:
        logits: (B, 1, T, h, w).
        label: (B, 1, T, H, W).
        clip_ids: B names.

    Returns:
        Logits and label as plain tensors, (B, T, h, w) in float32 and (B, T, H, W).

    Raises:
        ValueError: they do not match.
    """
    logits = convert_to_tensor(logits, dtype=torch.float32, track_meta=False)
    label = convert_to_tensor(label, track_meta=False)
    if logits.ndim != 5 or label.ndim != 5 or logits.shape[:3] != label.shape[:3] or len(clip_ids) != len(label):
        raise ValueError(
            f"logits {tuple(logits.shape)}, label {tuple(label.shape)} and {len(clip_ids)} clip_ids "
            "are not (B, 1, T, h, w), (B, 1, T, H, W) and B"
        )
    return logits[:, 0], label[:, 0]


class ClipDice(Metric):
    """Mean Dice over clips, for a MONAI evaluator that runs whole clips or pieces of them.

    Every clip has the same weight, whatever its length, as in SUN-SEG's benchmark. If any clip shows a polyp, clips
    without one are left out of the mean: a network that predicts nothing would score 1 on them. A clip keeps only a sum
    and two counts, so its pieces may come in any batch and on any process; :meth:`compute` joins the processes.

    Attached to an engine, as ``key_val_metric={"val_mean_dice": ClipDice(threshold=0.5)}``, it reads ``pred`` and
    ``label`` from the engine's output and ``clip_id`` from its batch. The evaluator needs ``decollate=False``, since a
    batch of clips is not a list of images.

    Args:
        threshold: a pixel belongs to the predicted mask if its probability is above this, in [0, 1].

    Attributes:
        per_clip: the mean Dice of every clip on all processes, set by :meth:`compute`. For a clip without a polyp this
            is the fraction of frames whose predicted mask is empty.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        check_numbers(threshold=threshold)
        self.threshold = threshold
        super().__init__()

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its metric, by config key."""
        return {"threshold": self.threshold}

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all clips; an engine calls this at the start of every epoch."""
        self._sums: dict[str, np.ndarray] = {}  # sum of Dice, number of frames, number of frames with a polyp
        self.per_clip: dict[str, float] = {}

    def iteration_completed(self, engine: Engine) -> None:
        """Read the engine's output and, since an output transform cannot reach it, the clips' names from its batch."""
        output = engine.state.output
        self.update((output[CommonKeys.PRED], output[CommonKeys.LABEL], engine.state.batch["clip_id"]))

    @reinit__is_reduced
    @torch.no_grad()
    def update(self, output: tuple[torch.Tensor, torch.Tensor, Sequence[str]]) -> None:
        """Add a batch of clips or of pieces of clips.

        Args:
            output: logits, (B, 1, T, h, w); label, (B, 1, T, H, W), 0 or 1; and the B clips' names. Logits are resized
                to the label's size, frame by frame, before they become masks.

        Raises:
            ValueError: the three do not match in number or shape.
        """
        logits, label, clip_ids = output
        for clip_id, clip_logits, clip_label in zip(clip_ids, *check_pieces(logits, label, clip_ids), strict=True):
            probability = logit_to_probability(clip_logits[None], clip_label.shape[-2:])[0]
            predictions = (probability > self.threshold).cpu()
            masks = (clip_label > 0.5).cpu()
            scores = [frame_dice(prediction, mask) for prediction, mask in zip(predictions, masks, strict=True)]
            added = np.array([sum(scores), len(scores), int(masks.any((1, 2)).sum())])
            self._sums[clip_id] = self._sums.get(clip_id, 0) + added

    def compute(self) -> float:
        """Join the clips of all processes and average over each clip's frames, then over the clips with a polyp.

        Raises:
            NotComputableError: no clip was added.
        """
        joined: dict[str, np.ndarray] = {}
        for part in idist.all_gather(self._sums):
            for clip_id, sums in part.items():
                joined[clip_id] = joined.get(clip_id, 0) + sums
        if not joined:
            raise NotComputableError("ClipDice needs at least one clip before it can be computed")
        self.per_clip = {clip_id: float(total / frames) for clip_id, (total, frames, _) in sorted(joined.items())}
        counted = [dice for clip_id, dice in self.per_clip.items() if joined[clip_id][2]] or [*self.per_clip.values()]
        return sum(counted) / len(counted)
