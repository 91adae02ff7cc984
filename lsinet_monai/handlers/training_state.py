"""Save the state of a training while it runs, and resume it after an interruption."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler

from lsinet_monai.errors import InputError
from lsinet_monai.handlers.training_folder import TrainingFolder
from lsinet_monai.handlers.training_settings import differences, settings_of
from lsinet_monai.utils.config_values import as_bool, check_numbers
from lsinet_monai.utils.distributed import gather
from lsinet_monai.utils.files import read_torch_file, write_torch_file

__all__ = ["TrainingState"]

logger = logging.getLogger(__name__)


class TrainingState:
    """Write the state of a training to ``OUTPUT_DIR/training_state.pt``, and resume the training from it.

    The file is written at the start, at the end of each epoch, and every ``save_steps`` steps. It appears whole or not
    at all, so a training that is killed at any moment leaves the state before. A resumed training has the losses that
    the uninterrupted one would have had. The file is read with ``weights_only=True``, and its checksums are verified.
    A ``checkpoint.pt`` of an earlier version is read too, and removed once ``training_state.pt`` is there.

    Attached to a MONAI trainer as the last of its handlers, so that everything at the end of an epoch is done when the
    state is saved. :class:`FailureReporter`, the first of the handlers, leaves the folder at a failure.

    Besides the parts with a state, the file holds the trainer's own state, its gradient scaler, and the random states
    of Python, NumPy and PyTorch. The sampler needs no state: its draw follows from the epoch and the step.

    Args:
        output_dir: the folder of the training.
        max_epochs: the number of epochs at which the training is complete. It may grow when the training resumes.
        resume: whether to resume from the file.
        save_steps: save also each time that this number of steps is done.
        parts: the objects from which the course of the training follows, by name: network, optimizer, loss, data
            loader, ... Those with a state are saved: with ``load_state_dict``, and with a ``state_dict`` that is not
            empty. The settings of all, see :func:`~lsinet_monai.handlers.training_settings.settings_of`, are recorded
            with the number of processes. A training resumes with the same settings only.

    Raises:
        InputError: a value is not valid.
    """

    def __init__(
        self,
        output_dir: str | Path,
        max_epochs: int,
        resume: bool = False,
        save_steps: int | None = None,
        **parts: Any,
    ) -> None:
        check_numbers(max_epochs=max_epochs, save_steps=save_steps)
        self.folder = TrainingFolder(output_dir)
        self.objects = {name: part for name, part in parts.items() if _has_state(part)}
        self.settings = {"processes": idist.get_world_size(), **settings_of(parts)}
        self.max_epochs = max_epochs
        self.resume = as_bool(resume, "resume")
        self.save_steps = save_steps
        self._random = _RandomStates()
        self._to_save: dict[str, Any] = {}
        self._checkpoint: Checkpoint | None = None
        self._is_under_way = False

    def prepare(self, overwrite: bool = False) -> None:
        """Make the training's folder, or check that the training in it can be resumed, before anything is trained.

        Args:
            overwrite: start again in a folder that holds files. The state and the curves of a training there are
                replaced once this one starts; other files stay.

        Raises:
            InputError: the folder holds files or cannot be made; another process trains in it; or the state to resume
                from is missing, damaged, of other settings, or complete.
        """
        if self.resume:
            with self.folder.take():
                self._check(self._read())
        else:
            self.folder.make(overwrite)

    def leave_folder(self) -> None:
        """Let other processes train in the folder. A training that ends without an error calls this itself."""
        self.folder.leave()

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._ended)
        if self.save_steps is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.save_steps), self._step_completed)

    def _started(self, engine: Any) -> None:
        if self._checkpoint is not None and engine.state.iteration == 0:
            raise InputError(
                f"the training in '{self.folder.path}' has run, and would start again from its first epoch: call "
                "initialize() again, with resume=true and a higher max_epochs to train further"
            )
        if self._is_under_way:  # by an error, after which neither weights nor random states are those of a step
            raise InputError(
                f"the training in '{self.folder.path}' ended by an error: call initialize() again, with resume=true"
            )
        self._is_under_way = True
        self._random.device = torch.device(engine.state.device)
        self._to_save = {**self.objects, "trainer": engine, "random": self._random}
        if engine.scaler is not None:
            self._to_save["scaler"] = engine.scaler
        self._checkpoint = Checkpoint(
            self._to_save,
            _StateFile(self.folder, self.settings),
            global_step_transform=lambda engine, event: engine.state.iteration,
            n_saved=1,
        )
        if self.resume:
            self._restore(engine)
        else:
            self._save(engine)

    def _ended(self) -> None:
        self._is_under_way = False
        self.leave_folder()

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

    def _read(self) -> dict[str, Any]:
        path = self.folder.find_state() or self.folder.state
        try:
            content = read_torch_file(path)
            parts = {"settings", "trainer", *self.objects}
            if not isinstance(content, dict) or not parts <= content.keys() or not _has_position(content["trainer"]):
                raise InputError("another kind of file")
        except InputError as error:
            raise InputError(
                f"'{path}' cannot be read as the state of a training ({error}): start again with --overwrite true"
            ) from error
        return content

    def _check(self, content: Mapping[str, Any]) -> None:
        was, now = dict(content["settings"]), dict(self.settings)
        refusal = f"resume=true, but the training in '{self.folder.path}'"
        processes = was.pop("processes", 1)
        if processes != now.pop("processes", 1):
            how = f"torchrun --nproc_per_node {processes}" if processes > 1 else "python, without torchrun"
            raise InputError(f"{refusal} had {processes} processes: use {how}")
        if other := differences(was, now):
            raise InputError(f"{refusal} had other settings: {'; '.join(other)}. Give the earlier ones")
        epochs = content["trainer"]["iteration"] / content["trainer"]["epoch_length"]
        if epochs >= self.max_epochs:
            raise InputError(
                f"{refusal} is complete, after {epochs:g} epochs: give a max_epochs above {epochs:g} to train further"
            )


def _has_state(part: Any) -> bool:
    return hasattr(part, "load_state_dict") and bool(part.state_dict())


def _has_position(trainer: Any) -> bool:
    """Whether a trainer's saved state says how far the training is."""
    return isinstance(trainer, dict) and "iteration" in trainer and bool(trainer.get("epoch_length"))


class _StateFile(BaseSaveHandler):
    """The file to which Ignite's ``Checkpoint`` writes the state of a training."""

    def __init__(self, folder: TrainingFolder, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = settings

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        if idist.get_rank() > 0:
            return
        write_torch_file({**checkpoint, "settings": dict(self.settings)}, self.folder.state, durable=True)
        self.folder.remove_replaced()

    def remove(self, filename: str) -> None:
        """Do nothing: the next state replaces the file."""


class _RandomStates:
    """The states of Python's, NumPy's and PyTorch's random generators on every rank."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        """The network's device, whose generator is saved in addition to the CPU's."""
        self._of_ranks: list[dict[str, Any]] = []

    def take(self) -> None:
        """Take the present states; all ranks call this together."""
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
