"""End a training that has diverged."""

from __future__ import annotations

import math
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine
from monai.engines import IterationEvents

from lsinet_monai.errors import InputError
from lsinet_monai.utils.distributed import exit_after_first_rank

__all__ = ["FiniteLosses"]


class FiniteLosses:
    """Raise on a NaN or infinite loss, and on NaN gradients, before they change any weight.

    Attach it after :class:`TrainingLosses`, whose numbers it reads. Infinite gradients are clipped later. With float16
    the gradient scaler skips a step with bad gradients itself.

    Raises:
        InputError: in the step, on the first rank; the other ranks exit after it.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Check the losses and gradients of a step. Raises InputError if one is not a number."""
        loss, norm = engine.state.output["curves"]["train_loss"], engine.state.output["gradient_norm"]
        if not math.isfinite(loss):
            bad = f"loss is {loss}"
        elif math.isnan(norm) and engine.scaler is None:
            bad = f"norm of the gradients is {norm}"
        else:
            return
        if idist.get_rank() > 0:
            exit_after_first_rank()
        raise InputError(
            f"the {bad} in epoch {engine.state.epoch}, step {engine.state.iteration}: the training has diverged. Start "
            "again with a lower learning_rate or without amp_dtype, or continue from an earlier model file with "
            "finetune.json, in another output_dir; the last training state is from before this step"
        )
