"""All stored videos of a datastore."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from lib.errors import NotFound
from lib.store.video import StoredVideo

__all__ = ["VideoStore"]


class VideoStore:
    """The stored videos by their ids.

    Args:
        folder: ``labels/lsinet`` of the videos' folder.
        path_of: returns a video's path by its id, or raises NotFound.
    """

    def __init__(self, folder: Path, path_of: Callable[[str], Path]) -> None:
        self.folder = folder
        self._path_of = path_of
        self._videos: dict[str, StoredVideo] = {}
        self._lock = threading.Lock()

    def __getitem__(self, image_id: str) -> StoredVideo:
        """A video by its id.

        Raises:
            NotFound: the datastore has no such video.
        """
        path = self._path_of(image_id)
        with self._lock:
            if image_id not in self._videos:
                self._videos[image_id] = StoredVideo(image_id, path, self.folder / image_id)
            return self._videos[image_id]

    def remove(self, image_id: str) -> None:
        """Remove a video from the store. The video file stays."""
        with self._lock:
            self._videos.pop(image_id, None)
        shutil.rmtree(self.folder / image_id, ignore_errors=True)

    def recover(self) -> None:
        """Take back the steps that a killed server left halfway, for the start."""
        for folder in self.folder.glob("*/undo/[0-9]*"):
            if not (folder / "act.json").exists():
                try:
                    video = self[folder.parents[1].name]
                except NotFound:
                    continue
                video.stretches.recover()

    @property
    def _scratch(self) -> Path:
        return self.folder / ".scratch"

    def clear_scratch(self, all_of_it: bool = False) -> None:
        """Remove what processes that were killed have left in :meth:`scratch`.

        Args:
            all_of_it: remove what is there of living processes, too. For the start, when nobody needs any of it: the
                server's own number may be that of the one that was killed.
        """
        for path in self._scratch.glob("[0-9]*-*"):
            if all_of_it or not psutil.pid_exists(int(path.name.partition("-")[0])):
                _remove(path)

    @contextmanager
    def scratch(self, suffix: str = "") -> Iterator[Path]:
        """Yield a free path on the videos' disk. The file or folder that the block makes there is removed after it."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = self._scratch / f"{os.getpid()}-{os.urandom(8).hex()}{suffix}"
        try:
            yield path
        finally:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
