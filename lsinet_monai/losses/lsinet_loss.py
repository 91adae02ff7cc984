"""The training loss of LSI-Net."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool
from lsinet_monai.utils.tensors import describe, value_range

__all__ = ["LSINetLoss"]

WINDOW = 31

# Interpolated masks may leave [0, 1] by rounding.
_TOLERANCE = 1e-3


class LSINetLoss(nn.Module):
    """Weighted binary cross-entropy plus weighted IoU loss, summed over the network's outputs.

    Pixels near the mask's outline have a larger weight: w = 1 + 5 |avgpool31(mask) - mask|.

    Args:
        weighted_bce: weight the cross-entropy too, as published. In the released program the weights cancel out, which
            leaves the plain mean.

    Attributes:
        parts: the loss of each output in the last call, detached, (number of outputs,), for logging.

    Raises:
        InputError: ``weighted_bce`` is neither true nor false; or a call gets logits and a mask that do not fit each
            other, or a mask with values outside [0, 1]. On a GPU the loss looks at the values only until a mask shows a
            polyp, because a look waits for the GPU.

    Source: F3Net (Wei et al., AAAI 2020), as used in LSI-Net (SALI, MICCAI 2024, section 2).
    """

    def __init__(self, weighted_bce: bool = True) -> None:
        super().__init__()
        self.weighted_bce = as_bool(weighted_bce, "weighted_bce")
        self.parts = torch.empty(0)
        self._values_are_checked = False

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its loss, by config key."""
        return {"weighted_bce": self.weighted_bce}

    def forward(self, logits: Tensor | Sequence[Tensor], mask: Tensor) -> Tensor:
        """Sum the losses of all outputs.

        Args:
            logits: per output (B, N, H, W), for N frames per sample, before the sigmoid; a single tensor is one output.
            mask: (B, N, H, W) in [0, 1], of any type.

        Returns:
            a scalar, 0 or more, float32 also for logits in half precision.
        """
        if isinstance(logits, Tensor):
            logits = (logits,)
        parts = torch.stack(self.per_output(logits, mask))
        self.parts = parts.detach()
        return parts.sum()

    def per_output(self, logits: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """Compute the loss of each output.

        Args:
            logits: per output (B, N, H, W), for N frames per sample, before the sigmoid.
            mask: (B, N, H, W) in [0, 1], of any type.

        Returns:
            a scalar per output, 0 or more.
        """
        _check_tensors(logits, mask)
        self._check_values(logits, mask)
        # The sums over a frame overflow in float16, and lose small masks in bfloat16.
        dtype = torch.promote_types(logits[0].dtype, torch.float32)
        logits, mask = [logit.to(dtype) for logit in logits], mask.to(dtype)
        # The mean over a square is the mean of its rows' means, which is much faster.
        reach = WINDOW // 2
        local_mean = F.avg_pool2d(mask, (1, WINDOW), stride=1, padding=(0, reach))
        local_mean = F.avg_pool2d(local_mean, (WINDOW, 1), stride=1, padding=(reach, 0))
        weight = 1 + 5 * (local_mean - mask).abs()
        return [self._one(logit, mask, weight) for logit in logits]

    def _check_values(self, logits: Sequence[Tensor], mask: Tensor) -> None:
        if self._values_are_checked and not mask.is_cpu:
            return
        values = value_range(mask)
        if values is None:
            return
        low, high = values
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise InputError(
                f"the mask of the loss has values from {low:g} to {high:g}, and must lie in [0, 1]: divide masks of 0 "
                "and 255 by 255"
            )
        if not self._values_are_checked and all(_look_like_probabilities(logit) for logit in logits):
            warnings.warn(
                "all logits given to the loss lie in [0, 1], as probabilities do: pass them before the sigmoid",
                stacklevel=2,
            )
        self._values_are_checked |= high > 0.5

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


def _check_tensors(logits: Sequence[Tensor], mask: Tensor) -> None:
    """Check that logits and mask are tensors of one shape (B, N, H, W), not empty, and on one device."""
    wanted = _describe_mismatch(logits, mask)
    if wanted:
        given = f"logits {', '.join(map(describe, logits)) or 'for no output'}, and a mask {describe(mask)}"
        raise InputError(f"the loss needs {wanted}, got {given}")


def _describe_mismatch(logits: Sequence[Tensor], mask: Tensor) -> str | None:
    """Name the requirement that the arguments of the loss fail; None if they are right."""
    if not logits or not all(isinstance(x, Tensor) for x in (*logits, mask)):
        return "tensors: one of logits for each output, and a mask"
    if any(logit.shape != mask.shape for logit in logits) or mask.ndim != 4 or mask.numel() == 0:
        return "logits and a mask of one shape (B, N, H, W), not empty"
    if not all(logit.is_floating_point() for logit in logits) or mask.is_complex():
        return "floating-point logits and a real mask"
    if any(logit.device != mask.device for logit in logits):
        return f"logits and a mask on one device, not on {logits[0].device} and {mask.device}"
    return None


def _look_like_probabilities(logit: Tensor) -> bool:
    values = value_range(logit)
    return values is not None and values[0] >= 0 and 0 < values[1] <= 1
