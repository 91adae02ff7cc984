"""A worker of an archive's run: a process that Ray starts and that holds one network."""

from __future__ import annotations

import logging
import socket
import threading

import torch

from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.segmenter import Outcome, Segmenter, Settings
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.archive.watchdog import Watchdog
from lsinet_monai.errors import InputError
from lsinet_monai.utils.shipped_model import model_hash

__all__ = ["Worker"]


class Worker:
    """Do videos one after the other. Ray makes an actor of it, so :meth:`begin` and :meth:`segment` return errors.

    Args:
        settings: what shapes the results.
        output: the archive's folder.
        model: the hash of the model file on the machine of the command.
        threads: for PyTorch.
        device: "cpu" or "cuda".
        timeout: the minutes after which it ends itself if it has done no frame in them.
    """

    def __init__(
        self, settings: Settings, output: str, model: str | None, threads: int, device: str, timeout: float
    ) -> None:
        self._settings = settings
        self._folder = ArchiveFolder(output)
        self._model = model
        self._threads = threads
        self._device = device
        self._watchdog = Watchdog(60 * timeout)
        self._segmenter: Segmenter | None = None

    def begin(self) -> Outcome:
        """Load the network.

        Returns:
            "done", with the machine; or "stop", if this machine lacks what the one of the command has.
        """
        with self._watchdog:
            return self._begin(socket.gethostname())

    def _begin(self, machine: str) -> Outcome:
        logging.getLogger().setLevel(logging.WARNING)
        torch.set_num_threads(self._threads)
        if not self._folder.is_visible:
            return Outcome(
                "stop", reason=f"{machine} does not see --output {self._folder.path}: put it on a shared disk"
            )
        if model_hash(self._settings.checkpoint) != self._model:
            return Outcome(
                "stop",
                reason=f"{machine} has another file, or none, at {self._settings.checkpoint}: copy the model there",
            )
        try:
            self._segmenter = Segmenter(self._settings, self._folder, self._device, self._watchdog)
        except InputError as error:
            return Outcome("stop", reason=f"{machine}: {error}: correct it")
        return Outcome("done", machine=machine)

    def segment(self, video: ArchiveVideo) -> Outcome:
        """Segment a video, after :meth:`begin`."""
        assert self._segmenter is not None
        with self._watchdog:
            return self._segmenter(video)

    def rest(self) -> None:
        """Do nothing, until this process is ended."""
        threading.Event().wait()
