"""What a training needs beside MONAI's handlers: the sampler's epochs, gradients, losses, progress, the model file."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import zlib
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
from torch import nn
from tqdm import tqdm

from lsinet_monai.errors import InputError
from lsinet_monai.losses import LSINetLoss
from lsinet_monai.networks import OUTPUTS, LSINet, save_checkpoint
from lsinet_monai.workflow.parallel import average, broadcast_buffers, leave_to_first
from lsinet_monai.writers import check_model_file

__all__ = ["BufferBroadcast", "GradientClipping", "SamplerEpoch", "SaveModel", "TrainingLosses", "TrainingProgress"]

logger = logging.getLogger(__name__)

_END = 1 << 18
"""Bytes at the end of a model file, where a zip archive has the checksums of what is in it, about 60 bytes a tensor."""


class SamplerEpoch:
    """Tell a sampler at the start of each epoch which one it is, so that order and curriculum follow from it.

    In an epoch that a resumed training goes on with, the samples that are done are left out.

    Args:
        sampler: has ``set_epoch(epoch, first)``, with epochs counted from 1 and samples from 0.
        batch_size: samples of the sampler in a step.
    """

    def __init__(self, sampler: Any, batch_size: int) -> None:
        self.sampler = sampler
        self.batch_size = batch_size

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        steps_done = engine.state.iteration % engine.state.epoch_length
        self.sampler.set_epoch(engine.state.epoch, steps_done * self.batch_size)


class GradientClipping:
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


class TrainingLosses:
    """Take note of each step's losses, over all ranks, and end a training that has none any more.

    ``engine.state.output["curves"]`` gets numbers by the names that they have in TensorBoard: ``train_loss``, the loss
    of each of the network's outputs (``train_loss/S_g``, ...), and ``learning_rate``.

    Args:
        loss: the trainer's loss.

    Raises:
        InputError: in a step, before it changes any weight, if the loss is infinite or not a number, or a gradient is
            not a number; the gradient scaler of float16 leaves such a step out by itself.
    """

    def __init__(self, loss: LSINetLoss) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        # Once the backward pass is under way, so that a GPU has work while the numbers are waited for.
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        gradients = [p.grad for p in engine.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).to(self.loss.parts)
        *parts, norm_of_ranks = average(torch.cat([self.loss.parts, norm[None]])).tolist()
        bad = "loss" if not math.isfinite(sum(parts)) else ""
        if math.isnan(norm_of_ranks) and engine.scaler is None:  # what is infinite is clipped
            bad = bad or "norm of the gradients"
        if bad:
            if idist.get_rank() > 0:
                leave_to_first()
            raise InputError(
                f"the {bad} is {sum(parts) if bad == 'loss' else norm_of_ranks} in epoch {engine.state.epoch}, step "
                f"{engine.state.iteration}: the training has diverged. Start anew with a lower learning_rate or "
                "without amp_dtype, or go on from an earlier model file with finetune.json, in another output_dir; "
                "the last checkpoint is that of before this step"
            )
        names = (f"train_loss/{name}" for name in OUTPUTS)
        engine.state.output["curves"] = {
            "train_loss": sum(parts),
            **dict(zip(names, parts, strict=True)),
            "learning_rate": engine.optimizer.param_groups[0]["lr"],
        }


class BufferBroadcast:
    """Give all ranks the first one's BatchNorm statistics at the end of an epoch, before they validate.

    Args:
        network: what is trained; it may be one that a DistributedDataParallel holds.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, before the handler that validates."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: broadcast_buffers(self.network))


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
        self._shown: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        # Not when the engine starts, where a resumed training finds out how far it is.
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


class _ModelFile(BaseSaveHandler):
    """Where Ignite's ``Checkpoint`` puts a network: one model file, and an earlier one kept under its date."""

    def __init__(self, path: Path, network: LSINet, image_size: int | list[int]) -> None:
        self.path = path
        self.network = network
        self.image_size = image_size
        self.written: int | None = None
        """The checksum of what this training wrote, in other runs of it too."""

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        if idist.get_rank() > 0:
            return
        if self.path.exists() and self._checksum() != self.written:
            kept = self.path.with_name(self._dated_name())
            # Under both names until the new one takes its place: a resumed fine-tuning reads it again.
            try:
                os.link(self.path, kept)
            except OSError:  # a file system without links
                shutil.copy2(self.path, kept)
            logger.info(f"kept the earlier {self.path} as {kept}")
            if self.written is not None:
                logger.warning(
                    "it is not what this training wrote there as far as its last checkpoint knows: if another one "
                    "wrote it, give each a model_file of its own"
                )
        save_checkpoint(self.path, self.network, self.image_size)
        self.written = self._checksum()

    def _checksum(self) -> int:
        with self.path.open("rb") as file:
            file.seek(-min(_END, self.path.stat().st_size), os.SEEK_END)
            return zlib.crc32(file.read())

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
    a metric), at the end of the last epoch, before the checkpoint that says that the training is complete. An earlier
    file is kept under its date, never overwritten.

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
        self._file = _ModelFile(check_model_file(path), network, image_size)
        self._checkpoint = Checkpoint({"model": network}, self._file, score_function=score, n_saved=1)
        self._engine: Engine | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs, so that it replaces the best network only by a better one."""
        state = getattr(self._engine, "state", None)
        return {
            "checkpoint": dict(self._checkpoint.state_dict()),
            "written": self._file.written,
            "best": {name: getattr(state, name, None) for name in ("best_metric", "best_metric_epoch")},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._checkpoint.load_state_dict(state["checkpoint"])
        self._file.written = state.get("written")
        if self._engine is not None:
            vars(self._engine.state).update(state["best"])

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, or without a metric to a trainer."""
        self._engine = engine
        if self.metric is None:
            last = Events.EPOCH_COMPLETED(event_filter=lambda engine, epoch: epoch == engine.state.max_epochs)
            engine.add_event_handler(last, self._checkpoint)
        else:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._checkpoint)
