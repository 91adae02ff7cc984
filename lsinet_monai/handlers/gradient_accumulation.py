"""Sum the gradients of several batches before each step of the optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers.gradient_clipping import GradientClipping

__all__ = ["GradientAccumulation", "is_optimizer_step"]


def is_optimizer_step(engine: Any) -> bool:
    """Whether the optimiser steps in a MONAI trainer's current iteration, as it always does in an epoch's last one."""
    epoch_length = engine.state.epoch_length
    position = (engine.state.iteration - 1) % epoch_length + 1
    return position % engine.accumulation_steps == 0 or position == epoch_length


class GradientAccumulation:
    """Average the gradients of several batches before each step of the optimiser, to train as with a larger batch.

    It sets the trainer's ``accumulation_steps``, takes the place of :class:`GradientClipping`, because only the whole
    average is to be clipped, and keeps the unfinished average when a training is interrupted. BatchNorm still sees
    single batches.

    Args:
        network: the network that is trained.
        steps: the number of batches.
        clip: the limit of :class:`GradientClipping`; None to clip nothing.

    Raises:
        InputError: ``steps`` is not a whole number of 1 or more.
    """

    def __init__(self, network: nn.Module, steps: int, clip: float | None = None) -> None:
        if not isinstance(steps, int) or steps < 1:
            raise InputError(f"gradients are accumulated over 1, 2, 3, ... batches, not {steps!r}")
        self.network = network
        self.steps = steps
        self._clipping = None if clip is None else GradientClipping(clip)
        self._is_pending = False

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer, in the place of a :class:`GradientClipping`."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._backward_completed)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)

    def _started(self, engine: Any) -> None:
        engine.accumulation_steps = self.steps

    def _backward_completed(self, engine: Engine) -> None:
        if self._clipping is not None and is_optimizer_step(engine):
            self._clipping(engine)

    def _iteration_completed(self, engine: Engine) -> None:
        self._is_pending = not is_optimizer_step(engine)

    @property
    def settings(self) -> dict[str, int]:
        """The number of batches. A training resumes only with the same one."""
        return {"accumulation_steps": self.steps}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the gradients that await their step, by the names of their parameters."""
        parameters = self.network.named_parameters() if self._is_pending else ()
        return {"gradients": {name: p.grad for name, p in parameters if p.grad is not None}}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from a :meth:`state_dict`."""
        gradients = state["gradients"]
        for name, parameter in self.network.named_parameters():
            parameter.grad = torch.empty_like(parameter).copy_(gradients[name]) if name in gradients else None
        self._is_pending = bool(gradients)
