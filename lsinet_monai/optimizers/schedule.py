"""A schedule of the learning rate: warm-up, then half a cosine."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["WarmupCosine", "count_steps"]


class WarmupCosine(LambdaLR):
    """Raise the learning rates of all groups linearly, then lower them along half a cosine.

    Step it after each step of the optimiser. Its state holds the steps that are done, not their total: a training that
    resumes with more epochs continues along the longer cosine.

    Args:
        optimizer: the optimiser, whose learning rates are the highest ones.
        warmup_steps: the number of the optimiser's steps before it has these rates.
        total_steps: the number of all its steps; after them the rates stay as they are.
        end_factor: the part of the rates that is left in the end, in [0, 1].

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, section 3; the warm-up: Goyal et al., arXiv 1706.02677, section 2.2.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, end_factor: float = 0.0) -> None:
        self.warmup_steps = warmup_steps
        self.end_factor = end_factor

        def factor(step: int) -> float:
            if step < warmup_steps:
                return (step + 1) / (warmup_steps + 1)
            done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
            return end_factor + (1 - end_factor) * (1 + math.cos(math.pi * done)) / 2

        super().__init__(optimizer, factor)


def count_steps(batches: int, max_epochs: int, accumulation_steps: int = 1) -> int:
    """Count the optimiser's steps in a training.

    Args:
        batches: the number of batches in an epoch.
        max_epochs: the number of epochs.
        accumulation_steps: the number of batches to a step; the last step of an epoch may have fewer.
    """
    return max_epochs * math.ceil(batches / accumulation_steps)
