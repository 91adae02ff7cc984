"""Clip gradients."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents

from lsinet_monai.utils.config_values import check_numbers

__all__ = ["GradientClipping"]


class GradientClipping:
    """Clip each gradient value to a range before the optimiser's step.

    Args:
        limit: gradients are clipped to [-limit, limit]; the released program has 0.5.

    Raises:
        InputError: ``limit`` is not above 0.
    """

    def __init__(self, limit: float) -> None:
        check_numbers(clip_gradients=limit)
        self.limit = limit

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of this handler, by config key."""
        return {"clip_gradients": self.limit}

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Clip the gradients of a step."""
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_value_(engine.network.parameters(), self.limit)
