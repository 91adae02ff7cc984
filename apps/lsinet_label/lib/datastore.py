"""MONAI Label's local datastore for a folder of videos. A video's id is its file name; ``NAME.frames`` is a folder."""

from __future__ import annotations

import fnmatch
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore

from lib.errors import Conflict, NotFound
from lib.store import LABEL_SUFFIXES, LABEL_TAGS
from lsinet_monai.data import open_video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import atomic_write

__all__ = ["VIDEO_SUFFIXES", "VideoDatastore", "check_name"]

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".gif", ".dcm",
)  # fmt: skip
FOLDER_SUFFIX = ".frames"

_NAME = re.compile(r"[^\W_][\w .()+,=@-]{0,199}")


def check_name(name: str) -> str:
    """Check that a name for a new video is a plain file name with a video's suffix.

    Returns:
        the name.

    Raises:
        InputError: it is not.
    """
    if not _NAME.fullmatch(name) or not name.lower().endswith(VIDEO_SUFFIXES):
        raise InputError(
            f"{name!r} cannot be the name of a video: use letters, digits, spaces and _.()+,=@-, and one of these "
            f"endings: {' '.join(VIDEO_SUFFIXES)}"
        )
    return name


class VideoDatastore(LocalDatastore):
    """A folder of videos, with labels in ``labels/original`` and ``labels/final``.

    Names from clients are looked up in the list of videos, and never used as paths.

    Args:
        folder: the videos' folder.
        auto_reload: notice videos that come or go while the server runs.
        removal: takes a video's id and returns a context manager, inside which the video is removed.
    """

    def __init__(self, folder: str, auto_reload: bool, removal: Callable[[str], AbstractContextManager[None]]) -> None:
        self._removal = removal
        self._saving = threading.Lock()
        self._strangers: set[str] = set()
        patterns = [f"*{suffix}" for suffix in (*VIDEO_SUFFIXES, FOLDER_SUFFIX)]
        patterns += [f"*{suffix.upper()}" for suffix in VIDEO_SUFFIXES]
        super().__init__(folder, extensions=patterns, auto_reload=auto_reload)
        if auto_reload:
            self._handler.on_moved = self._on_any_event

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._datastore.objects

    def path(self, image_id: str) -> Path:
        """The path of a video.

        Raises:
            NotFound: the folder has no such video.
        """
        self._check(image_id)
        return Path(self.get_image_uri(image_id))

    def _check(self, image_id: str, tag: str | None = None) -> None:
        if image_id not in self:
            raise NotFound(f"there is no video {image_id!r} here: choose one from the list")
        if tag is not None and tag not in LABEL_TAGS:
            raise InputError(f"tag={tag!r} must be one of {', '.join(LABEL_TAGS)}")

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy a video into the folder. It appears whole or not at all.

        Args:
            image_id: its file name. MONAI Label may leave the suffix to ``image_filename``.
            image_filename: the file to copy.
            image_info: facts to store with it.

        Returns:
            its id.

        Raises:
            InputError: the name is not allowed, or the file cannot be read as a video.
            Conflict: a video has this name already.
        """
        if not image_id.lower().endswith(VIDEO_SUFFIXES):
            image_id += "".join(Path(image_filename).suffixes)
        check_name(image_id)
        try:
            open_video(image_filename).close()
        except InputError as error:
            raise InputError(str(error).replace(str(image_filename), image_id)) from error
        place = Path(self._datastore.image_path()) / image_id
        if place.exists():
            raise Conflict(f"a video {image_id!r} is there already: choose another name")
        with atomic_write(place) as temporary:
            shutil.copyfile(image_filename, temporary)
        self.refresh()
        if image_info:
            self.update_image_info(image_id, image_info)
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Remove a video, its labels, and its data in the store.

        Raises:
            NotFound: there is no such video.
        """
        self._check(image_id)
        with self._removal(image_id):
            super().remove_image(image_id)
            self.refresh()

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Store a file as a video's label. It replaces the previous label whole.

        Raises:
            InputError: there is no such tag, or the file does not have a label's suffix.
            NotFound: there is no such video.
        """
        self._check(image_id, label_tag)
        suffix = self._to_id(os.path.basename(label_filename))[1]
        if not suffix:
            raise InputError(f"a label must be a file that ends with one of {' '.join(LABEL_SUFFIXES)}")
        place = Path(self._datastore.label_path(label_tag)) / f"{image_id}{suffix}"
        with self._saving:
            before = self.get_label_uri(image_id, label_tag)
            with atomic_write(place) as temporary:
                shutil.copyfile(label_filename, temporary)
            if before and Path(before).name != place.name:
                Path(before).unlink(missing_ok=True)
                self.refresh()
            self.refresh()
            self.update_label_info(image_id, label_tag, label_info or {})
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label's file. The masks in the store stay.

        Raises:
            InputError: there is no such tag.
            NotFound: there is no such video.
        """
        self._check(label_id, label_tag)
        super().remove_label(label_id, label_tag)
        self.refresh()

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The path of a label, or "" if there is none."""
        return super().get_label_uri(label_id, label_tag) if label_tag in LABEL_TAGS else ""

    # Overrides of the local datastore's internals.

    def _to_id(self, file: str) -> tuple[str, str]:
        """Split a file name into id and suffix. A label's name is its video's id plus a suffix; a video's is its id."""
        suffix = next((end for end in LABEL_SUFFIXES if file.lower().endswith(end)), "")
        return file[: len(file) - len(suffix)], file[len(file) - len(suffix) :]

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        is_images = os.path.realpath(path) == os.path.realpath(self._datastore.image_path())
        wanted = patterns if is_images else [f"*{suffix}" for suffix in LABEL_SUFFIXES]
        names = [name for name in os.listdir(path) if not name.startswith(".")]
        if is_images:
            names = [name for name in names if os.path.isdir(os.path.join(path, name)) == name.endswith(FOLDER_SUFFIX)]
            names = [name for name in names if self._is_inside(Path(path, name))]
        return {name: name for pattern in wanted for name in fnmatch.filter(names, pattern)}

    def _is_inside(self, path: Path) -> bool:
        """Whether a video, and each frame in a folder, stays in the videos' folder when links are followed."""
        folder = path.parent.resolve()
        links = [path]
        if path.is_dir():
            with os.scandir(path) as entries:
                links += [Path(entry.path) for entry in entries if entry.is_symlink()]
        is_inside = all(link.resolve().is_relative_to(folder) for link in links)
        if not is_inside and path.name not in self._strangers:
            self._strangers.add(path.name)
            logger.warning("'%s' is left out: it has a link to a place outside the videos' folder", path.name)
        return is_inside

    def _remove_non_existing(self) -> int:
        """Drop videos and labels that are gone. The list is replaced in one step, because other threads read it."""
        self._init_from_datastore_file()
        images = Path(self._datastore.image_path())
        before = self._datastore.objects
        after = {
            image_id: entry.model_copy()
            for image_id, entry in before.items()
            if (images / image_id).exists() and self._is_inside(images / image_id)
        }
        for image_id, entry in after.items():
            folders = {tag: Path(self._datastore.label_path(tag)) for tag in entry.labels}
            entry.labels = {
                tag: label for tag, label in entry.labels.items() if (folders[tag] / f"{image_id}{label.ext}").exists()
            }
        self._datastore.objects = after
        return after != before

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Write the list of videos and labels whole or not at all, even if the server is killed."""
        if lock:
            with FileLock(self._lock_file):
                self._update_datastore_file(lock=False)
            return
        self._ignore_event_config = True
        with atomic_write(self._datastore_config_path) as temporary:
            content = self._datastore.model_dump(exclude={"base_path"})
            temporary.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
        self._config_ts = os.stat(self._datastore_config_path).st_mtime
