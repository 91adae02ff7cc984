"""MONAI Label's local datastore for a folder of videos. A video's id is its file name; ``NAME.frames`` is a folder."""

from __future__ import annotations

import copy
import fnmatch
import functools
import json
import logging
import os
import re
import secrets
import shutil
import threading
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from lib.call_files import new_file
from lib.errors import Conflict, NotFound
from lib.store import LABEL_SUFFIXES, LABEL_TAGS
from lsinet_monai.data import VIDEO_SUFFIXES, has_video_suffix, looks_like_video, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import atomic_write

__all__ = ["VideoDatastore", "check_name"]

logger = logging.getLogger(__name__)

FOLDER_SUFFIX = ".frames"

_NAME = re.compile(r"[^\W_][\w .()+,=@-]{0,199}")
_INCOMPLETE = ".lsinet-upload-"
"""What the names of videos begin with that are not yet complete."""


def check_name(name: str) -> str:
    """Check that a name for a new video is a plain file name with a video's suffix.

    Returns:
        the name.

    Raises:
        InputError: it is not.
    """
    if not _NAME.fullmatch(name) or not has_video_suffix(name):
        raise InputError(
            f"{name!r} cannot be the name of a video: use letters, digits, spaces and _.()+,=@-, and one of these "
            f"endings: {' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return name


def _holds_lock(names: tuple[str, ...]) -> Callable[[type], type]:
    """A decorator of a datastore: threads call these methods, its own and inherited ones, one at a time."""

    def hold(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: VideoDatastore, *arguments: Any, **options: Any) -> Any:
            with self._lock:
                return method(self, *arguments, **options)

        return call

    def decorate(datastore: type) -> type:
        for name in names:
            setattr(datastore, name, hold(getattr(datastore, name)))
        return datastore

    return decorate


# MONAI Label's datastore has no lock, and replaces its list while it reads it again. `add_image`, `remove_image` and
# `get_dataset_archive` take long, so they hold the lock only where they need it.
@_holds_lock(
    (
        "__contains__", "name", "set_name", "description", "set_description", "datalist", "get_image", "get_image_uri",
        "get_image_info", "get_label", "get_label_uri", "get_labels_by_image_id", "get_label_by_image_id",
        "get_label_info", "get_labeled_images", "get_unlabeled_images", "list_images", "refresh", "save_label",
        "remove_label", "update_image_info", "update_label_info", "describe_labels", "status", "json",
        "_init_from_datastore_file", "_update_datastore_file", "_on_any_event", "_on_modify_event",
    )
)  # fmt: skip
class VideoDatastore(LocalDatastore):
    """A folder of videos, with labels in ``labels/original`` and ``labels/final``.

    Names from clients are looked up in the list of videos, and never used as paths. All methods may be called from any
    thread.

    Args:
        folder: the videos' folder.
        auto_reload: notice videos that come or go while the server runs.
        removal: takes a video's id and returns a context manager, inside which the video is removed.
    """

    def __init__(self, folder: str, auto_reload: bool, removal: Callable[[str], AbstractContextManager[None]]) -> None:
        self._removal = removal
        self._lock = threading.RLock()
        self._strangers: set[str] = set()
        patterns = [f"*{suffix}" for suffix in (*VIDEO_SUFFIXES, FOLDER_SUFFIX)]
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
        suffix = "".join(Path(image_filename).suffixes)
        if not has_video_suffix(image_id) and not image_id.lower().endswith(suffix.lower()):
            image_id += suffix
        check_name(image_id)
        try:
            open_video(image_filename).close()
        except InputError as error:
            raise InputError(str(error).replace(str(image_filename), image_id)) from error
        place = self._place(image_id)
        incomplete = place.with_name(f"{_INCOMPLETE}{secrets.token_hex(8)}")
        try:
            self._check_free(place)
            shutil.copyfile(image_filename, incomplete)
            with self._lock:
                self._check_free(place)  # another client may have sent the same name meanwhile
                os.replace(incomplete, place)
                self.refresh()
                if image_info:
                    self.update_image_info(image_id, image_info)
        finally:
            incomplete.unlink(missing_ok=True)
        return image_id

    def _place(self, image_id: str) -> Path:
        return Path(self._datastore.image_path()) / image_id

    @staticmethod
    def _check_free(place: Path) -> None:
        if place.exists():
            raise Conflict(f"a video {place.name!r} is there already: choose another name")

    def remove_incomplete(self) -> None:
        """Remove what is left of videos whose upload was cut off by the end of the server. Call it at the start."""
        for path in Path(self._datastore.image_path()).glob(f"{_INCOMPLETE}*"):
            path.unlink(missing_ok=True)

    def remove_image(self, image_id: str) -> None:
        """Remove a video, its labels, and its data in the store.

        Raises:
            NotFound: there is no such video.
        """
        self._check(image_id)
        # Without the lock: the removal waits for a job that may need it.
        with self._removal(image_id), self._lock:
            super().remove_image(image_id)
            self.refresh()

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Store a file as a video's label. It replaces the previous label whole.

        Raises:
            InputError: there is no such tag, or the file does not have a label's suffix.
            NotFound: there is no such video.
        """
        self._check(image_id, label_tag)
        suffix = self._to_id(os.path.basename(label_filename))[1].lower()  # MONAI Label looks for lower case alone
        if not suffix:
            raise InputError(f"a label must be a file that ends with one of {' '.join(LABEL_SUFFIXES)}")
        place = Path(self._datastore.label_path(label_tag)) / f"{image_id}{suffix}"
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

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """A copy of the facts that are stored with a label. MONAI Label would return the stored dictionary itself."""
        return copy.deepcopy(super().get_label_info(label_id, label_tag))

    def describe_labels(self, image_id: str, facts: dict[str, Any]) -> None:
        """Store facts with all labels that a video has."""
        for tag in self.get_labels_by_image_id(image_id):
            self.update_label_info(image_id, tag, facts)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Write the videos that have a final label, with their labels, to a ZIP archive in the call's folder.

        Args:
            limit_cases: the largest number of videos; None or 0 for all.

        Returns:
            the archive's path.

        Raises:
            InputError: no video has a final label.
        """
        with self._lock:
            pairs = [
                (self.get_image_uri(image_id), self.get_label_uri(image_id, DefaultLabelTag.FINAL))
                for image_id in sorted(self.get_labeled_images())
            ]
            listed = self._datastore.model_dump_json(exclude={"base_path"})
        if not pairs:
            raise InputError("no video has a final label: mark one as final first")
        path = new_file(".zip")
        with zipfile.ZipFile(path, "x") as archive:
            for image, label in pairs[: limit_cases or None]:
                frames = sorted(Path(image).iterdir()) if os.path.isdir(image) else []
                for file in frames or [Path(image)]:
                    archive.write(file, Path("image", *([Path(image).name] if frames else []), file.name))
                archive.write(label, Path("label", Path(label).name))
            archive.writestr("metadata.json", listed)
        return str(path)

    # Overrides of the local datastore's internals.

    def _to_id(self, file: str) -> tuple[str, str]:
        """Split a file name into id and suffix. A label's name is its video's id plus a suffix; a video's is its id."""
        suffix = next((end for end in LABEL_SUFFIXES if file.lower().endswith(end)), "")
        return file[: len(file) - len(suffix)], file[len(file) - len(suffix) :]

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        is_images = os.path.realpath(path) == os.path.realpath(self._datastore.image_path())
        names = [name for name in os.listdir(path) if not name.startswith(".")]
        if not is_images:
            return {name: name for suffix in LABEL_SUFFIXES for name in fnmatch.filter(names, f"*{suffix}")}
        paths = [Path(path, name) for name in names]
        return {path.name: path.name for path in paths if self._is_named_so(path) and self._is_inside(path)}

    def _is_named_so(self, path: Path) -> bool:
        """Whether a path has the name of a video; log others that look like one."""
        if path.is_dir():
            return path.name.endswith(FOLDER_SUFFIX)
        if path.name not in self._strangers and looks_like_video(path):
            self._leave_out(path.name, "videos of such names are not read; convert it to MP4, or give it a suffix")
        return has_video_suffix(path.name)

    def _leave_out(self, name: str, problem: str) -> None:
        if name not in self._strangers:
            self._strangers.add(name)
            logger.warning("'%s' is left out: %s", name, problem)

    def _is_inside(self, path: Path) -> bool:
        """Whether a video, and each frame in a folder, is there and in the videos' folder when links are followed."""
        folder = path.parent.resolve()
        links = [path]
        if path.is_dir():
            with os.scandir(path) as entries:
                links += [Path(entry.path) for entry in entries if entry.is_symlink()]
        gone = next((link for link in links if not link.exists()), None)
        if gone is not None and gone.is_symlink():
            self._leave_out(path.name, f"'{gone.name}' is a link to a file that is not there: fetch its content")
            return False
        is_inside = all(link.resolve().is_relative_to(folder) for link in links)
        if not is_inside:
            self._leave_out(path.name, "it has a link to a place outside the videos' folder")
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
