"""End a run whose network predicts NaN, and let it continue after a single bad frame."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import are_left_empty

__all__ = ["FiniteLogits"]

_FRAMES = 8
"""A network that gives finite logits for none of this many first frames of a run has diverged."""


class FiniteLogits:
    """Raise when the network itself predicts NaN, which would otherwise threshold to empty masks.

    :class:`lsinet_monai.inferers.SequentialVideoInferer` leaves a frame empty whose logits are not finite, and the
    run continues. It ends if weights of the network are not finite; or after 8 frames or the first clip, if none of
    their frames had finite logits. Logits of other inferers must all be finite.

    Attached to an evaluator, before the handlers that keep its results.

    Raises:
        InputError: after a batch, if the network predicts NaN.
    """

    def __init__(self) -> None:
        self._frames = 0
        """The number of frames so far; none of them had finite logits."""
        self._any_finite = False

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator whose batches have ``clip_id`` and ``is_last``."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _started(self, engine: Engine) -> None:
        self._frames, self._any_finite = 0, False

    def __call__(self, engine: Engine) -> None:
        """Check the logits of a batch, ``pred``, (..., H, W). Raises InputError if the network predicts NaN."""
        logits, batch = engine.state.output["pred"], engine.state.batch
        empty = are_left_empty(logits) if logits.ndim > 1 else torch.zeros(1, dtype=torch.bool)
        is_bad = not bool(torch.isfinite(logits).all())
        if empty.any():
            self._frames += empty.numel()
            is_bad |= not _has_finite_weights(getattr(engine, "network", None))
            if empty.all() and not self._any_finite:
                is_bad |= self._frames >= _FRAMES or bool(batch["is_last"][0])
        self._any_finite |= not empty.all()
        if is_bad:
            raise InputError(
                f"{batch['clip_id'][0]}: the network's masks are not numbers, because the training of its weights has "
                "diverged, or because of amp_dtype: take earlier weights, train with a lower learning_rate, or leave "
                "amp_dtype out"
            )


def _has_finite_weights(network: nn.Module | None) -> bool:
    tensors = [] if network is None else [*network.parameters(), *network.buffers()]
    return all(bool(x.isfinite().all()) for x in tensors if x.is_floating_point())
