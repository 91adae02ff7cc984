"""The model in service: the given file, or the newest model that was fine-tuned from it."""

from __future__ import annotations

import json
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LoadedModel, fuse_norms, load_checkpoint
from lsinet_monai.utils.files import read_torch_file
from lsinet_monai.utils.shipped_model import describe_model, model_hash

__all__ = ["ServedModel"]


class ServedModel:
    """A model file. It is loaded when it is first needed, and again when another file takes its place.

    A fine-tuned model is ``NAME.pt`` in ``trained``, and ``NAME.json`` next to it names the file that it was trained
    from. The newest one that was trained from the given file is in service; the others are kept. To return to an older
    one, move the newest away.

    Args:
        checkpoint: the model file that the server was given.
        trained: the folder of fine-tuned models.
        device: where the network runs.
    """

    def __init__(self, checkpoint: Path, trained: Path, device: str) -> None:
        self.checkpoint = checkpoint
        self.trained = trained
        self.device = device
        self._lock = threading.Lock()
        self._loaded: tuple[str, LoadedModel] | None = None

    def path(self) -> Path | None:
        """The model file in service, or None without a model."""
        for file in sorted(self.trained.glob("*.json"), reverse=True):
            model = file.with_suffix(".pt")
            if model.is_file() and json.loads(file.read_text(encoding="utf-8"))["from"] == self.given():
                return model
        return self.checkpoint if self.checkpoint.is_file() else None

    def given(self) -> str:
        """The full path of the given file, as the records of fine-tuned models have it."""
        return str(self.checkpoint.resolve())

    def state(self) -> dict[str, Any]:
        """Describe the model in service.

        Returns:
            ``path``, its file's name; ``available``; ``how`` to get one; ``sha256``, see
            :func:`lsinet_monai.utils.shipped_model.model_hash`; ``about``: its name and hash and, for the shipped
            model, the terms of its use; and ``points``: whether it segments from points and boxes. Without a model
            ``path``, ``sha256`` and ``about`` are None.
        """
        path = self.path()
        how = (
            "in service"
            if path
            else f"there is no model at {self.checkpoint.name}: train one with the bundle, "
            "or start the server with --conf checkpoint FILE (the authors' files work too)"
        )
        return {
            "path": path.name if path else None,
            "available": path is not None,
            "how": how,
            "sha256": model_hash(path) if path else None,
            "about": describe_model(path) if path else None,
            "points": path is not None and _takes_points(path, path.stat().st_mtime_ns),
        }

    def load(self) -> tuple[str, LoadedModel]:
        """Load the model in service.

        Returns:
            a text that identifies the file, by its name, size, time and hash; and the network with its image size.

        Raises:
            InputError: there is no model, or it cannot be read.
        """
        path = self.path()
        if path is None:
            raise InputError(self.state()["how"])
        mark = f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns} {model_hash(path)}"
        with self._lock:
            if self._loaded is None or self._loaded[0] != mark:
                self._loaded = None  # first, so that the device never holds two
                network, image_size = load_checkpoint(path)
                self._loaded = mark, LoadedModel(fuse_norms(network).to(self.device), image_size)
            return self._loaded


@lru_cache(maxsize=4)
def _takes_points(path: Path, mtime_ns: int) -> bool:
    """Whether a model file has a prompt head; not if it cannot be read, of which :meth:`ServedModel.load` says why."""
    try:
        content = read_torch_file(path)
    except InputError:
        return False
    network = content.get("network") if isinstance(content, dict) else None
    return isinstance(network, dict) and bool(network.get("prompt_head"))
