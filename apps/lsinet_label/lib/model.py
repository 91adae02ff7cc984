"""The model in service: the one that was given, or what was fine-tuned from it since."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.networks.model_file import Checkpoint, load_checkpoint

__all__ = ["ServedModel"]


class ServedModel:
    """A model file, loaded when it is first needed, and again when another one takes its place.

    A fine-tuned model is ``TIME.pt`` in ``trained``, with ``TIME.json`` beside it that says which file it came from.
    The newest one that came from the given file is in service. The others stay; to go back, move the newest away.

    Args:
        checkpoint: the file that the server was given.
        trained: the folder of fine-tuned models.
        device: where the network runs.
    """

    def __init__(self, checkpoint: Path, trained: Path, device: str) -> None:
        self.checkpoint = checkpoint
        self.trained = trained
        self.device = device
        self._lock = threading.Lock()
        self._loaded: tuple[str, Checkpoint] | None = None

    def path(self) -> Path | None:
        """The model file in service, or None if there is none."""
        for file in sorted(self.trained.glob("*.json"), reverse=True):
            model = file.with_suffix(".pt")
            if model.is_file() and json.loads(file.read_text(encoding="utf-8"))["from"] == self.given():
                return model
        return self.checkpoint if self.checkpoint.is_file() else None

    def given(self) -> str:
        """What tells the given file from others."""
        return str(self.checkpoint.resolve())

    def state(self) -> dict[str, Any]:
        """Which model is in service, and how to get one."""
        path = self.path()
        how = (
            "in service"
            if path
            else f"there is no model at {self.checkpoint.name}: train one with the bundle, run `make demo` for a small "
            "one, or start the server with --conf checkpoint FILE (the authors' files work too)"
        )
        return {"path": path.name if path else None, "available": path is not None, "how": how}

    def load(self) -> tuple[str, Checkpoint]:
        """The model in service.

        Returns:
            a text that names this very file, and the network with its image size.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        path = self.path()
        if path is None:
            raise InputError(self.state()["how"])
        mark = f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}"
        with self._lock:
            if self._loaded is None or self._loaded[0] != mark:
                self._loaded = None
                self._loaded = mark, load_checkpoint(path, self.device)
            return self._loaded
