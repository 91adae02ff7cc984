"""The training loss of LSI-Net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.utils.config_values import as_bool

__all__ = ["LSINetLoss"]

WINDOW = 31


class LSINetLoss(nn.Module):
    """Weighted binary cross-entropy plus weighted IoU loss, summed over the network's outputs.

    Pixels near the mask's outline have a larger weight: w = 1 + 5 |avgpool31(mask) - mask|.

    Args:
        weighted_bce: weight the cross-entropy too, as published. In the released program the weights cancel out, which
            leaves the plain mean.

    Attributes:
        parts: the loss of each output in the last call, detached, (number of outputs,), for logging.

    Raises:
        InputError: ``weighted_bce`` is neither true nor false.

    Source: F3Net (Wei et al., AAAI 2020), as used in LSI-Net (SALI, MICCAI 2024, section 2).
    """

    def __init__(self, weighted_bce: bool = True) -> None:
        super().__init__()
        self.weighted_bce = as_bool(weighted_bce, "weighted_bce")
        self.parts = torch.empty(0)

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its loss, by config key."""
        return {"weighted_bce": self.weighted_bce}

    def forward(self, logits: Tensor | Sequence[Tensor], mask: Tensor) -> Tensor:
        """Sum the losses of all outputs.

        Args:
            logits: per output (B, N, H, W), for N frames per sample; a single tensor is one output.
            mask: (B, N, H, W) in [0, 1].

        Returns:
            a scalar, 0 or more.
        """
        if isinstance(logits, Tensor):
            logits = (logits,)
        parts = torch.stack(self.per_output(logits, mask))
        self.parts = parts.detach()
        return parts.sum()

    def per_output(self, logits: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """Compute the loss of each output.

        Args:
            logits: per output (B, N, H, W), for N frames per sample.
            mask: (B, N, H, W) in [0, 1].

        Returns:
            a scalar per output, 0 or more.
        """
        # The mean over a square is the mean of its rows' means, which is much faster.
        reach = WINDOW // 2
        local_mean = F.avg_pool2d(mask, (1, WINDOW), stride=1, padding=(0, reach))
        local_mean = F.avg_pool2d(local_mean, (WINDOW, 1), stride=1, padding=(reach, 0))
        weight = 1 + 5 * (local_mean - mask).abs()
        return [self._one(logit, mask, weight) for logit in logits]

    def _one(self, logit: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        dims = (2, 3)
        bce = F.binary_cross_entropy_with_logits(logit, mask, reduction="none")
        if self.weighted_bce:
            bce = (weight * bce).sum(dims) / weight.sum(dims)
        probability = torch.sigmoid(logit)
        intersection = (weight * probability * mask).sum(dims)
        total = (weight * (probability + mask)).sum(dims)
        iou = 1 - (intersection + 1) / (total - intersection + 1)
        return bce.mean() + iou.mean()
