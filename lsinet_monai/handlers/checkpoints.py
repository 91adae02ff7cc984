"""Where a training stands, on disk: written while it runs, and gone on from when it was interrupted."""

from __future__ import annotations

import errno
import logging
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from filelock import FileLock, Timeout
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler

from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import read_torch_file, write_torch_file
from lsinet_monai.workflow.parallel import gather
from lsinet_monai.writers import prepare_output_dir

__all__ = ["TrainingCheckpoint"]

logger = logging.getLogger(__name__)

FILE_NAME = "checkpoint.pt"
LOCK_NAME = ".training.lock"
WAIT = 10.0
"""Seconds to wait for a lock, which what is left of a training that was killed may hold for a moment."""

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What file systems say that know no locks."""

_NO_CURVES = 1000
"""Bytes: TensorBoard's files are smaller as long as they have no value."""

_locks: dict[tuple[int, Path], FileLock] = {}
"""The folders' locks, by process. One that failed before it ran keeps none from the next in its process."""


class TrainingCheckpoint:
    """Write where a training stands to ``OUTPUT_DIR/checkpoint.pt``, and go on from there.

    The file is written at the start, at the end of each epoch and every ``save_steps`` steps. It appears whole or not
    at all, so a training that is killed at any moment leaves the one before. A training that goes on from it has the
    losses that the uninterrupted one would have had. It is read with ``weights_only=True``, and its checksums are
    looked at. One process at a time trains in a folder.

    Attached to a MONAI trainer as the last of its handlers: what an epoch ends with is done when it is saved. Let
    :class:`FailureReporter`, the first of them, have :meth:`leave_folder` as what it does at a failure. The
    trainer's own state, its gradient scaler and the random states of Python, NumPy and PyTorch are in the file besides
    ``objects``; the sampler's draw follows from the epoch and the step.

    Args:
        output_dir: the folder of the training.
        objects: what has ``state_dict`` and ``load_state_dict``, by name: network, optimiser, ...
        settings: the numbers and names that the course of the training follows from, by their config keys; ``network``
            has the network's arguments, and ``processes`` says how many share the training. A training goes on with the
            same ones only.
        max_epochs: when the training will be complete. It may be larger than it was.
        resume: whether to go on from the file.
        save_steps: after how many steps the file is written, besides each epoch's end.
    """

    def __init__(
        self,
        output_dir: str | Path,
        objects: Mapping[str, Any],
        settings: Mapping[str, Any],
        max_epochs: int,
        resume: bool = False,
        save_steps: int | None = None,
    ) -> None:
        self.path = Path(output_dir) / FILE_NAME
        self.objects = dict(objects)
        self.settings = dict(settings)
        self.max_epochs = max_epochs
        self.resume = resume
        self.save_steps = save_steps
        self._random = _RandomStates()
        self._to_save: dict[str, Any] = {}
        self._checkpoint: Checkpoint | None = None
        self._replaced_curves: list[Path] = []
        lock_path = self.path.parent.resolve() / LOCK_NAME
        self._lock = _locks.setdefault((os.getpid(), lock_path), FileLock(lock_path))

    def prepare(self, overwrite: bool = False) -> None:
        """Make the training's folder, or look whether the training in it can be resumed, before anything is trained.

        Args:
            overwrite: start anew in a folder that holds files. Those of a training there, its checkpoint and curves,
                are replaced once this one starts; others stay.

        Raises:
            InputError: the folder holds files, or cannot be made; or, of a training to resume, there is no checkpoint,
                it is damaged, it had other settings, or it is complete; or another process trains in the folder.
        """
        if self.resume:
            self._check_exists()
            self._take_folder()
            with self._left_if_refused():
                self._check(self._read())
        elif idist.get_rank() == 0:
            self._make_folder(overwrite)
            self._take_folder()
            with self._left_if_refused():
                self._make_folder(overwrite)  # again, for what another training wrote that was waited for

    def leave_folder(self) -> None:
        """Let other processes train in the folder; done by itself unless the training ends by an error."""
        self._lock.release(force=True)

    @contextmanager
    def _left_if_refused(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.leave_folder()
            raise

    def _make_folder(self, overwrite: bool) -> None:
        if self.path.exists() and not overwrite:
            raise InputError(
                f"output_dir '{self.path.parent}' holds a training: --resume true goes on with it, --overwrite true "
                "starts anew, or choose another folder"
            )
        prepare_output_dir(self.path.parent, overwrite, leftovers=self._leftovers())
        self._replaced_curves = self._curves() if self.path.exists() else []

    def _curves(self) -> list[Path]:
        return [path for path in self.path.parent.glob("events.out.tfevents.*") if path.is_file()]

    def _leftovers(self) -> list[Path]:
        """What a training leaves that is stopped before it first wrote where it stands."""
        folder = self.path.parent
        if not (folder / LOCK_NAME).exists():
            return []
        empty = [path for path in self._curves() if path.stat().st_size < _NO_CURVES]
        return [folder / LOCK_NAME, folder / f".{FILE_NAME}.tmp", *empty]

    def _take_folder(self) -> None:
        if idist.get_rank() > 0:
            return
        try:
            self._lock.acquire(timeout=WAIT)
        except Timeout as error:
            raise InputError(
                f"another process trains in output_dir '{self.path.parent}': wait for it, end it, or choose another "
                f"folder. If none does on any machine, delete '{self.path.parent / LOCK_NAME}'"
            ) from error
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise InputError(
                    f"output_dir '{self.path.parent}' cannot be written to ({error.strerror}): choose another folder"
                ) from error
            logger.warning(
                f"output_dir '{self.path.parent}' lies where files cannot be locked: see to it that no other process "
                "trains there"
            )

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, lambda engine: self.leave_folder())
        if self.save_steps is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.save_steps), self._step_completed)

    def _started(self, engine: Any) -> None:
        self._random.device = torch.device(engine.state.device)
        self._to_save = {**self.objects, "trainer": engine, "random": self._random}
        if engine.scaler is not None:
            self._to_save["scaler"] = engine.scaler
        self._checkpoint = Checkpoint(
            self._to_save,
            _CheckpointFile(self.path, self.settings),
            global_step_transform=lambda engine, event: engine.state.iteration,
            n_saved=1,
        )
        if self.resume:
            self._restore(engine)
        else:
            self._save(engine)
            for path in self._replaced_curves:  # the training that they belong to is gone from now on
                path.unlink(missing_ok=True)

    def _step_completed(self, engine: Engine) -> None:
        # At the end of an epoch, validation and the learning rate's step come first.
        if engine.state.iteration % (engine.state.epoch_length or 1):
            self._save(engine)

    def _save(self, engine: Engine) -> None:
        self._random.take()
        assert self._checkpoint is not None
        self._checkpoint(engine)

    def _restore(self, engine: Engine) -> None:
        content = self._read()
        max_epochs = engine.state.max_epochs
        Checkpoint.load_objects(self._to_save, content)
        engine.state.max_epochs = max_epochs
        steps = engine.state.iteration % engine.state.epoch_length
        logger.info(f"resumed after epoch {engine.state.epoch}" + (f" and {steps} steps" if steps else ""))

    def _check_exists(self) -> None:
        if not self.path.is_file():
            raise InputError(
                f"resume=true, but there is no '{self.path}': give the output_dir of the training that was "
                "interrupted, or leave resume out"
            )

    def _read(self) -> dict[str, Any]:
        try:
            content = read_torch_file(self.path)
            parts = {"settings", "trainer", *self.objects}
            if not isinstance(content, dict) or not parts <= content.keys() or not _has_place(content["trainer"]):
                raise InputError("another kind of file")
        except InputError as error:
            raise InputError(
                f"'{self.path}' cannot be read as a training's checkpoint ({error}): start anew with --overwrite true"
            ) from error
        return content

    def _check(self, content: Mapping[str, Any]) -> None:
        was, now = _flat(content["settings"]), _flat(self.settings)
        processes = was.pop("processes", 1)
        if processes != now.pop("processes", 1):
            how = f"torchrun --nproc_per_node {processes}" if processes > 1 else "python, without torchrun"
            raise InputError(
                f"resume=true, but the training in '{self.path.parent}' had {processes} processes: use {how}"
            )
        other = [
            f"{name}={now.get(name)!r}, which was {was.get(name)!r}"
            for name in {**was, **now}
            if (now.get(name) or None) != (was.get(name) or None)  # what it did not have was off
        ]
        if other:
            raise InputError(
                f"resume=true, but the training in '{self.path.parent}' had other settings: {'; '.join(other)}. Give "
                "those that it had"
            )
        epochs = content["trainer"]["iteration"] / content["trainer"]["epoch_length"]
        if epochs >= self.max_epochs:
            raise InputError(
                f"resume=true, but the training in '{self.path.parent}' is complete, after {epochs:g} epochs: give a "
                f"max_epochs above {epochs:g} to train on"
            )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, and in the place of the network's arguments each of them."""
    return {**settings, **settings.get("network", {})} | {"network": None}


def _has_place(trainer: Any) -> bool:
    """Whether what is said to be a trainer's state tells where in the training it was."""
    return isinstance(trainer, dict) and "iteration" in trainer and bool(trainer.get("epoch_length"))


class _CheckpointFile(BaseSaveHandler):
    """Where Ignite's ``Checkpoint`` puts a training's state: always the same file."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = settings

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        if idist.get_rank() > 0:
            return
        write_torch_file({**checkpoint, "settings": dict(self.settings)}, self.path, durable=True)

    def remove(self, filename: str) -> None:
        """Nothing to do: the next state replaces the file."""


class _RandomStates:
    """The states of Python's, NumPy's and PyTorch's generators, of every rank."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        """What the network is on, whose generator counts beside the CPU's."""
        self._of_ranks: list[dict[str, Any]] = []

    def take(self) -> None:
        """Take the states as they are now; all ranks together."""
        numpy_state: Any = np.random.get_state(legacy=False)
        numpy_state["state"]["key"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
        state = {"python": random.getstate(), "numpy": numpy_state, "torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        self._of_ranks = gather(state)

    def state_dict(self) -> dict[str, Any]:
        return {"ranks": self._of_ranks}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        state = state_dict["ranks"][idist.get_rank()]
        random.setstate(state["python"])
        numpy_state = state["numpy"]
        key = numpy_state["state"]["key"].numpy().astype(np.uint32)
        np.random.set_state({**numpy_state, "state": {**numpy_state["state"], "key": key}})
        torch.set_rng_state(state["torch"])
        if "cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)
