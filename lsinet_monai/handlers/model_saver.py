"""Save the network of a training in a model file."""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler

from lsinet_monai.networks import LSINet, save_model
from lsinet_monai.utils.config_values import check_numbers
from lsinet_monai.writers import check_model_file

__all__ = ["ModelSaver"]

logger = logging.getLogger(__name__)

_END = 1 << 18
"""Bytes at the end of a model file. There a zip archive keeps its members' checksums, about 60 bytes a tensor."""


class ModelSaver:
    """Save the best network, or the last one, in one model file (``networks.load_checkpoint`` reads it).

    Attached to an evaluator, with a metric, it saves whenever the metric is the highest of this training. Attached to
    a trainer, without a metric, it saves at the end of the last epoch, before the training state that says that the
    training is complete. A file of another training is never overwritten: it is kept under its date.

    Args:
        network: the network that is trained.
        path: the model file.
        image_size: the size to which frames are resized, a side or [height, width]; kept in the file.
        metric: the evaluator's metric; None for a trainer.

    Raises:
        InputError: the path is a folder, or cannot be written; or ``image_size`` is not a size of 64 or more.
    """

    def __init__(
        self, network: LSINet, path: str | Path, image_size: int | list[int], metric: str | None = None
    ) -> None:
        check_numbers(image_size=image_size)
        score: Callable[[Engine], float] | None = None
        if metric is not None:
            score = lambda engine: engine.state.metrics[metric]  # noqa: E731
        self.metric = metric
        self._file = _ModelFile(check_model_file(path), network, image_size)
        self._checkpoint = Checkpoint({"model": network}, self._file, score_function=score, n_saved=1)
        self._engine: Engine | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, or without a metric to a trainer."""
        self._engine = engine
        if self.metric is None:
            last = Events.EPOCH_COMPLETED(event_filter=lambda engine, epoch: epoch == engine.state.max_epochs)
            engine.add_event_handler(last, self._checkpoint)
        else:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far, so that a resumed training replaces the network only by a better one."""
        state = getattr(self._engine, "state", None)
        return {
            "checkpoint": dict(self._checkpoint.state_dict()),
            "written": self._file.written,
            "best": {name: getattr(state, name, None) for name in ("best_metric", "best_metric_epoch")},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self._checkpoint.load_state_dict(state["checkpoint"])
        self._file.written = state.get("written")
        if self._engine is not None:
            vars(self._engine.state).update(state["best"])


class _ModelFile(BaseSaveHandler):
    """The file to which Ignite's ``Checkpoint`` saves a network."""

    def __init__(self, path: Path, network: LSINet, image_size: int | list[int]) -> None:
        self.path = path
        self.network = network
        self.image_size = image_size
        self.written: int | None = None
        """The checksum of the file that this training wrote last, also before it was interrupted."""

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        if idist.get_rank() > 0:
            return
        if self.path.exists() and self._checksum() != self.written:
            self._keep_earlier()
        save_model(self.network, self.path, self.image_size)
        self.written = self._checksum()

    def remove(self, filename: str) -> None:
        """Do nothing: a better network replaces the file."""

    def _keep_earlier(self) -> None:
        kept = self.path.with_name(self._dated_name())
        # It has both names until the new file replaces it: a fine-tuning of this very file reads it when it resumes.
        try:
            os.link(self.path, kept)
        except OSError:  # a file system without links
            shutil.copy2(self.path, kept)
        logger.info(f"kept the earlier {self.path} as {kept}")
        if self.written is not None:
            logger.warning(
                "this training did not write that file, as far as its last training state knows: if another training "
                "did, give each a model_file of its own"
            )

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
