"""What a training needs beside MONAI's handlers: epochs of the sampler, bounded gradients, progress, the model file."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler
from monai.engines import IterationEvents
from tqdm import tqdm

from lsinet_monai.networks import LSINet, save_checkpoint
from lsinet_monai.writers import prepare_model_file

__all__ = ["ClipGradients", "SamplerEpoch", "SaveModel", "TrainingProgress"]

logger = logging.getLogger(__name__)


class SamplerEpoch:
    """Tell a sampler at the start of each epoch which one it is, so that order and curriculum follow from it.

    Args:
        sampler: has ``set_epoch``, with epochs counted from 1.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.sampler.set_epoch(engine.state.epoch))


class ClipGradients:
    """Clip each gradient value to a range before the optimiser's step.

    Args:
        limit: gradients are clipped to [-limit, limit]; released: 0.5.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_value_(engine.network.parameters(), self.limit)


class TrainingProgress:
    """One bar for the whole training: steps done, time left, the loss, and the last validation's Dice.

    Args:
        evaluator: the engine that validates, whose key metric is shown; none if there is no validation.
        metric: the name of that metric.
    """

    def __init__(self, evaluator: Engine | None = None, metric: str = "val_mean_dice") -> None:
        self.evaluator = evaluator
        self.metric = metric
        self._bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.TERMINATE, self._close)

    def _started(self, engine: Engine) -> None:
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        # A log file gets a line now and then, a terminal a bar that moves.
        interval = 0.5 if sys.stderr.isatty() else 15.0
        self._bar = tqdm(
            total=total, initial=engine.state.iteration, desc="training", unit="step", mininterval=interval,
            disable=idist.get_rank() > 0,
        )  # fmt: skip

    def _iteration_completed(self, engine: Engine) -> None:
        shown = {"epoch": engine.state.epoch, "loss": f"{engine.state.output['loss'].item():.3f}"}
        if self.evaluator is not None and self.metric in self.evaluator.state.metrics:
            shown["dice"] = f"{self.evaluator.state.metrics[self.metric]:.3f}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def _close(self, engine: Engine) -> None:
        self._bar.close()


class _ModelFile(BaseSaveHandler):
    """Where Ignite's ``Checkpoint`` puts a network: one model file, and an earlier one kept under its date."""

    def __init__(self, path: Path, network: LSINet, image_size: int | list[int]) -> None:
        self.path = path
        self.network = network
        self.image_size = image_size
        self._is_ours = False

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        if idist.get_rank() > 0:
            return
        if self.path.exists() and not self._is_ours:
            kept = self.path.with_name(self._dated_name())
            os.replace(self.path, kept)
            logger.info(f"kept the earlier {self.path} as {kept}")
        save_checkpoint(self.path, self.network, self.image_size)
        self._is_ours = True

    def _dated_name(self) -> str:
        date = datetime.fromtimestamp(self.path.stat().st_mtime).strftime("%Y-%m-%d_%H%M%S")
        name, count = f"{self.path.stem}_{date}{self.path.suffix}", 1
        while self.path.with_name(name).exists():
            count += 1
            name = f"{self.path.stem}_{date}_{count}{self.path.suffix}"
        return name

    def remove(self, filename: str) -> None:
        """Nothing to do: a better network replaces the file."""


class SaveModel:
    """Keep the best network in one model file, which says how to build the network (``networks.load_checkpoint``).

    Attached to an evaluator, it saves whenever the metric is the highest of this run; attached to a trainer (without
    a metric), when training is complete. An earlier file is kept under its date, never overwritten.

    Args:
        network: the network that is trained.
        path: the model file.
        image_size: what frames are resized to, kept in the file.
        metric: the evaluator's metric; none for a trainer.

    Raises:
        InputError: the path is a folder, or cannot be written.
    """

    def __init__(
        self, network: LSINet, path: str | Path, image_size: int | list[int], metric: str | None = None
    ) -> None:
        score: Callable[[Engine], float] | None = None
        if metric is not None:
            score = lambda engine: engine.state.metrics[metric]  # noqa: E731
        self.metric = metric
        self._checkpoint = Checkpoint(
            {"model": network},
            _ModelFile(prepare_model_file(path), network, image_size),
            score_function=score,
            n_saved=1,
        )

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, or without a metric to a trainer."""
        engine.add_event_handler(Events.COMPLETED if self.metric is None else Events.EPOCH_COMPLETED, self._checkpoint)
