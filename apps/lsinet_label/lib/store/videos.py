"""All stored videos of a datastore."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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

    @contextmanager
    def scratch(self, suffix: str = "") -> Iterator[Path]:
        """Yield a free path on the videos' disk. The file or folder that the block makes there is removed after it."""
        folder = self.folder / ".scratch"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{threading.get_ident()}-{os.urandom(4).hex()}{suffix}"
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
