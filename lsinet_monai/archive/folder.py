"""The folder of an archive's results. Each video has a folder in it, which appears whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from lsinet_monai.archive.content import content_hash
from lsinet_monai.archive.table import read_table, write_table
from lsinet_monai.archive.videos import ROW, ArchiveVideo
from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import atomic_write
from lsinet_monai.utils.folder_lock import acquire_folder
from lsinet_monai.writers.output_dir import FRAME_RESULTS

__all__ = ["ArchiveFolder"]

_SETTINGS = "settings.json"
_LOCK = ".lock"
_ON_THE_WAY = ".on_the_way"
_TRASH = ".trash_"
_SEVERAL = (errno.ENOTEMPTY, errno.EEXIST)
_LOCK_WAIT = 2.0  # seconds: a killed run holds its lock for a moment longer


class ArchiveFolder:
    """The folder of an archive's results.

    ===================================  ==============================================================================
    ``OUTPUT/videos/<video>/``           a video's results, as ``monai.bundle run inference`` writes them
    ``OUTPUT/videos/<video>/result.json``  the video's row of the table
    ``OUTPUT/results.parquet``           the table: a row per video that is done or set aside
    ``OUTPUT/failures.jsonl``            a line per failure
    ``OUTPUT/report.html``               the report
    ``OUTPUT/settings.json``             what shapes results, the same for all videos of the folder
    ===================================  ==============================================================================

    Args:
        path: the folder, on storage that all machines of the run share.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.table = self.path / "results.parquet"
        self.failures = self.path / "failures.jsonl"
        self.report = self.path / "report.html"
        self._on_the_way = self.path / _ON_THE_WAY

    @contextmanager
    def claim(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Keep other runs out, create the folder if it is missing, and remove what a killed run left half-written.

        Args:
            settings: what shapes results. A folder that has results needs the same.

        Raises:
            InputError: the folder cannot be written to, holds other files or results of other settings, or another
                process works in it.
        """
        self._check_place()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--output {self.path} cannot be created ({error.strerror}): choose another folder"
            ) from error
        file = self.path / _LOCK
        lock = FileLock(file)
        acquire_folder(
            lock,
            file,
            f"--output {self.path}",
            "archives",
            "wait until it has ended, or choose another folder",
            _LOCK_WAIT,
        )
        try:
            self._check_settings(settings)
            self._remove_what_is_on_the_way()
            yield
        finally:
            self._remove_what_is_on_the_way()
            lock.release()

    def _remove_what_is_on_the_way(self) -> None:
        """Away with it by a rename first: a late worker of an earlier run must not deliver what is half removed."""
        with suppress(OSError):
            self._on_the_way.rename(self.path / f"{_TRASH}{uuid.uuid4().hex}")
        for trash in self.path.glob(f"{_TRASH}*"):
            shutil.rmtree(trash, ignore_errors=True)

    def _check_place(self) -> None:
        if "://" in str(self.path) or str(self.path).startswith(("s3:/", "gs:/", "file:/")):
            raise InputError(
                f"--output {self.path} is no folder: results appear by a rename, which object stores lack. Give a "
                "folder on a disk that all machines share"
            )
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--output {self.path} is a file: choose a folder")
        other = next((entry for entry in self.path.glob("*") if entry.name != _LOCK), None)
        if other is not None and not (self.path / _SETTINGS).exists():
            raise InputError(
                f"--output {self.path} holds files that no archive's run wrote (e.g. {other.name}): choose another one"
            )
        if self.path.exists() and not os.access(self.path, os.W_OK | os.X_OK):
            raise InputError(f"--output {self.path} cannot be written to (no permission): choose another folder")

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        path = self.path / _SETTINGS
        if not path.exists():
            self._write_settings(settings)
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: damaged; choose another folder for --output") from error
        if any(before.get(name) != value for name, value in settings.items()) and not self._has_results():
            self._write_settings(settings)
            return
        for name, value in settings.items():
            if before.get(name) != value:
                raise InputError(
                    f"--output {self.path} holds results with {name}={before.get(name)!r}, and this run has {value!r}: "
                    "give the same, or choose another folder"
                )

    def _write_settings(self, settings: Mapping[str, Any]) -> None:
        with atomic_write(self.path / _SETTINGS, durable=True) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def _has_results(self) -> bool:
        return next(self._names(), None) is not None

    @property
    def is_visible(self) -> bool:
        """Whether this machine sees the folder of a run that has claimed it."""
        return (self.path / _SETTINGS).exists()

    def place(self, name: str) -> Path:
        """The folder of a video's results."""
        return self.path / "videos" / name

    def finished(self, videos: Sequence[ArchiveVideo]) -> dict[str, dict[str, Any]]:
        """Find the rows of all videos whose results are whole, those of earlier runs over other inputs too.

        A video whose file has another size than in its row has changed: its results are removed. One that has moved is
        known by its content, and its row then has its new path.

        Args:
            videos: the videos of this run.

        Returns:
            The rows by video: those of results that are whole, and those with an error of videos that an earlier run
            over other inputs has set aside.

        Raises:
            InputError: the table is damaged, or the results of another video have the name of one of these. Or one
                that may have moved cannot be read.
        """
        table = read_table(self.table)
        asked, paths = {video.name for video in videos}, {video.path for video in videos}
        rows = {
            name: row
            for name, row in table.items()
            if row["error"] is not None
            and name not in asked
            and row["path"] not in paths
            and ("://" in row["path"] or Path(row["path"]).exists())
        }
        for name in self._names():
            known = table.get(name)
            row = known if known is not None and known["error"] is None else self.row(name)
            if row is not None:
                rows[name] = row
        known_as = {row["path"]: name for name, row in rows.items()}
        for video in tqdm(videos, "look for results of earlier runs", leave=False, delay=5):
            if known_as.get(video.path, video.name) != video.name:
                raise InputError(
                    f"--output {self.path} holds results of {video.path} by the name {known_as[video.path]}, and this "
                    f"INPUT would call it {video.name}: give the INPUT of before, or choose another folder"
                )
            row = rows.get(video.name)
            if row is None:
                continue
            is_same_size = row["bytes"] == video.size
            if row["path"] == video.path:
                if is_same_size:
                    rows[video.name] = row
                else:
                    self._remove(video.name)
                    rows.pop(video.name, None)
            elif is_same_size and content_hash(video) == row["sha256"]:
                rows[video.name] = {**row, "path": video.path}
            else:
                raise InputError(
                    f"--output {self.path} holds results of {row['path']} by the name {video.name}, and {video.path} "
                    "is another video: choose another folder, or give the one that holds both as INPUT"
                )
        return rows

    def _names(self) -> Iterator[str]:
        """The videos whose results are there."""
        top = self.path / "videos"
        for folder, folders, files in os.walk(top):
            if ROW in files:
                folders.clear()
                yield Path(folder).relative_to(top).as_posix()

    def row(self, name: str) -> dict[str, Any] | None:
        """The row of a video; None if its results are not there."""
        try:
            row: dict[str, Any] = json.loads((self.place(name) / ROW).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return row

    def deliver(
        self, results: Path, row: Mapping[str, Any], on_file: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Copy a video's results to their place, where they appear whole.

        Args:
            results: the folder that holds them.
            row: the video's row.
            on_file: called after each file.

        Returns:
            The video's row: the given one, or that of another worker which was first, for example one on a machine that
            was thought to be lost. Then its results stay, and these are dropped.

        Raises:
            OSError: they cannot be written, or the folder is not there any more.
        """
        self._check_visible()
        self._on_the_way.mkdir(exist_ok=True)
        copy = self._on_the_way / uuid.uuid4().hex
        place = self.place(row["video"])
        try:
            _copy(results, copy, on_file)
            with _named(copy / ROW):
                (copy / ROW).write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
            _flush(copy, on_file)
            if _sizes(copy) != _sizes(results) | {ROW: (copy / ROW).stat().st_size}:
                raise OSError(errno.EIO, "files were lost on the way", str(copy))
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy.rename(place)
            except OSError as error:
                if error.errno not in _SEVERAL:
                    raise
                first = self.row(row["video"])
                if first is not None and all(first.get(key) == row.get(key) for key in ("sha256", "model")):
                    return first
                self._remove(row["video"])  # of another content of the video, or without a row
                copy.rename(place)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return dict(row)

    def _check_visible(self) -> None:
        """Where a disk has been unmounted, nothing must be written to the folder under it."""
        if not self.is_visible:
            raise FileNotFoundError(errno.ENOENT, "the folder of the run is not there any more", str(self.path))

    def _remove(self, name: str) -> None:
        self._on_the_way.mkdir(exist_ok=True)
        old = self._on_the_way / uuid.uuid4().hex
        self.place(name).rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def write_table(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``results.parquet``; it appears complete or not at all.

        Raises:
            OSError: it cannot be written, or the folder is not there any more.
        """
        self._check_visible()
        with _named(self.table):
            write_table(self.table, rows.values())


def _copy(folder: Path, copy: Path, on_file: Callable[[], None]) -> None:
    """Copy the contents of files alone: some network mounts refuse their times and rights.

    ``shutil.copytree`` would also gather the errors, and no longer say that the disk is full.
    """
    copy.mkdir(parents=True)
    for path in sorted(folder.rglob("*")):
        target = copy / path.relative_to(folder)
        if path.is_dir():
            target.mkdir()
        else:
            with _named(target):
                shutil.copyfile(path, target)
            on_file()


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of writing a file name it; a full disk's names none, or the file that was read."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _flush(folder: Path, on_file: Callable[[], None]) -> None:
    """Wait until the files are on the disk. Of a picture per frame each alone would take too long."""
    has_pictures = False
    for path in folder.rglob("*"):
        # A video called masks.mp4 has its summary there too.
        is_of_frame = path.suffix == ".png" and path.relative_to(folder).parts[0] in FRAME_RESULTS
        has_pictures |= is_of_frame
        if path.is_file() and not is_of_frame:
            with _named(path), path.open("rb") as file:
                os.fsync(file.fileno())
            on_file()
    if has_pictures:
        os.sync()
