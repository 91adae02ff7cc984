"""The folder of a training: made or taken by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ignite.distributed as idist
from filelock import FileLock

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, check_paths
from lsinet_monai.utils.folder_lock import acquire_folder
from lsinet_monai.writers import prepare_output_dir

__all__ = ["EARLIER_NAME", "STATE_NAME", "TrainingFolder"]

STATE_NAME = "training_state.pt"
EARLIER_NAME = "checkpoint.pt"
"""The state's name in folders of earlier versions."""

LOCK_NAME = ".training.lock"
WAIT = 10.0
"""Seconds to wait for the lock: what remains of a training that was killed may hold it for a moment."""

_NO_CURVES = 1000
"""Bytes: TensorBoard's files are smaller as long as they hold no value."""

_locks: dict[tuple[int, Path], FileLock] = {}
"""The folders' locks, by process. A training that failed before it ran must not keep its folder from the next one."""


class TrainingFolder:
    """The folder in which a training keeps its state and its curves. One process at a time trains in it.

    Args:
        path: the folder.

    Raises:
        InputError: ``path`` reads as a number.
    """

    def __init__(self, path: str | Path) -> None:
        check_paths(output_dir=path)
        self.path = Path(path)
        self.state = self.path / STATE_NAME
        """The file that the training's state is written to."""
        self._earlier_state = self.path / EARLIER_NAME
        self._replaced: list[Path] = []
        lock = self.path.resolve() / LOCK_NAME
        self._lock = _locks.setdefault((os.getpid(), lock), FileLock(lock))

    def find_state(self) -> Path | None:
        """Find the file with the last state, under its name of today or of earlier versions."""
        return next((path for path in (self.state, self._earlier_state) if path.is_file()), None)

    def make(self, overwrite: bool = False) -> None:
        """Make the folder for a new training, and take it.

        Args:
            overwrite: take a folder that holds files. :meth:`remove_replaced` then removes those of a training.

        Raises:
            InputError: the folder holds files, cannot be made, or another process trains in it.
        """
        overwrite = as_bool(overwrite, "overwrite")
        if idist.get_rank() > 0:
            return
        self._make(overwrite)
        self._acquire()
        with self._left_at_error():
            self._make(overwrite)  # again, because the process that was waited for may have written there

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take the folder of a training to resume, and leave it if the block raises.

        Raises:
            InputError: there is no state in it, or another process trains in it.
        """
        if self.find_state() is None:
            raise InputError(
                f"resume=true, but there is no '{self.state}': give the output_dir of the training that was "
                "interrupted, or leave resume out"
            )
        if idist.get_rank() == 0:
            self._acquire()
        with self._left_at_error():
            yield

    def leave(self) -> None:
        """Let other processes train in the folder."""
        self._lock.release(force=True)

    def remove_replaced(self) -> None:
        """Remove the files of an earlier training, and the state under its earlier name, once a new state is there."""
        for path in (self._earlier_state, *self._replaced):
            path.unlink(missing_ok=True)

    def _make(self, overwrite: bool) -> None:
        holds_training = self.state.exists() or self._earlier_state.exists()
        if holds_training and not overwrite:
            raise InputError(
                f"output_dir '{self.path}' holds a training: --resume true continues it, --overwrite true starts "
                "again, or choose another folder"
            )
        prepare_output_dir(self.path, overwrite, leftovers=self._leftovers())
        self._replaced = self._curves() if holds_training else []

    def _curves(self) -> list[Path]:
        return [path for path in self.path.glob("events.out.tfevents.*") if path.is_file()]

    def _leftovers(self) -> list[Path]:
        """The files of a training that was stopped before it wrote its first state."""
        if not (self.path / LOCK_NAME).exists():
            return []
        empty = [path for path in self._curves() if path.stat().st_size < _NO_CURVES]
        return [self.path / name for name in (LOCK_NAME, f".{STATE_NAME}.tmp", f".{EARLIER_NAME}.tmp")] + empty

    def _acquire(self) -> None:
        way_out = "wait for it, end it, or choose another folder"
        acquire_folder(self._lock, self.path / LOCK_NAME, f"output_dir '{self.path}'", "trains", way_out, WAIT)

    @contextmanager
    def _left_at_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.leave()
            raise
