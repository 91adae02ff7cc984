"""End a run whose network predicts NaN."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

from lsinet_monai.errors import InputError

__all__ = ["FiniteLogits"]


class FiniteLogits:
    """Raise on NaN or infinite logits, which would otherwise threshold to an empty mask.

    Attached to an evaluator, before the handlers that keep its results.

    Raises:
        InputError: after a batch, if a logit in ``pred`` is NaN or infinite.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator whose batches have ``clip_id``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check the logits of a batch. Raises InputError if one is not a number."""
        if torch.isfinite(engine.state.output["pred"]).all():
            return
        raise InputError(
            f"{engine.state.batch['clip_id'][0]}: the network's masks are not numbers, because the training of its "
            "weights has diverged, or because of amp_dtype: take earlier weights, train with a lower learning_rate, or "
            "leave amp_dtype out"
        )
