"""Show the progress of a training."""

from __future__ import annotations

import sys
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from tqdm import tqdm

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """Show one bar for the whole training: steps done, time left, the loss, and the last validation's Dice.

    Args:
        evaluator: the engine that validates; the bar shows its key metric once it has run.
        metric: the name of that metric.
    """

    def __init__(self, evaluator: Engine | None = None, metric: str = "val_mean_dice") -> None:
        self.evaluator = evaluator
        self.metric = metric
        self._bar: Any = None
        self._shown: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer that has a :class:`TrainingLosses` too."""
        # Not when the engine starts: a resumed training does not know its step yet.
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.TERMINATE, self._close)

    def _epoch_started(self, engine: Engine) -> None:
        if self._bar is not None:
            return
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        # A log file gets a line now and then, a terminal a bar that moves.
        interval = 0.5 if sys.stderr.isatty() else 15.0
        self._bar = tqdm(
            total=total, initial=engine.state.iteration, desc="training", unit="step", mininterval=interval,
            disable=idist.get_rank() > 0,
        )  # fmt: skip

    def _iteration_completed(self, engine: Engine) -> None:
        self._shown = {"epoch": engine.state.epoch, "loss": f"{engine.state.output['curves']['train_loss']:.3f}"}
        self._show()
        self._bar.update()

    def _show(self) -> None:
        if self.evaluator is not None and self.metric in self.evaluator.state.metrics:
            self._shown["dice"] = f"{self.evaluator.state.metrics[self.metric]:.3f}"
        self._bar.set_postfix(self._shown, refresh=False)

    def _close(self, engine: Engine) -> None:
        if self._bar is not None:
            self._show()
            self._bar.close()
            self._bar = None
