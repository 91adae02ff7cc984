"""What a worker does with a video: fetch it, segment it, describe it, and deliver its results whole."""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from lsinet_monai.archive.content import fetch
from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.table import describe, doubts_of, most_doubtful
from lsinet_monai.archive.thumbnail import write_thumbnail
from lsinet_monai.archive.videos import THUMBNAIL, ArchiveVideo
from lsinet_monai.archive.watchdog import Watchdog
from lsinet_monai.errors import InputError, causes, describe_no_room, find_input_error
from lsinet_monai.utils.shipped_model import model_hash
from lsinet_monai.workflow import InferenceProcess
from lsinet_monai.writers import EXPORTS, read_summary

__all__ = ["Outcome", "Segmenter", "Settings"]

_SCRATCH = "lsinet_archive_"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What shapes the results of an archive.

    Args:
        checkpoint: the model file.
        threshold: the probability above which a pixel belongs to the mask, in [0, 1].
        amp_dtype: the type of the encoder's numbers, such as "bfloat16"; None for float32.
        exports: what to write besides the summary and the table of masks: "png" (masks), "maps", "overlay", and names
            of :data:`~lsinet_monai.writers.EXPORTS`.
    """

    checkpoint: str
    threshold: float = 0.5
    amp_dtype: str | None = None
    exports: tuple[str, ...] = ()

    def keys(self) -> dict[str, Any]:
        """The config keys of inference that give these results."""
        return {
            "checkpoint": self.checkpoint,
            "threshold": self.threshold,
            "amp_dtype": self.amp_dtype,
            "write_masks": True,  # exports are made from them
            "write_maps": "maps" in self.exports,
            "write_overlay": "overlay" in self.exports,
            "exports": ["parquet", *(name for name in self.exports if name in EXPORTS)],
        }

    def recorded(self) -> dict[str, Any]:
        """What must not change between runs into one folder. A model is known by its content, wherever it lies."""
        others = {name: value for name, value in asdict(self).items() if name != "checkpoint"}
        # What inference does by default has changed: archives of before hold masks that were not refined.
        rules = {"inference": "refined masks"}
        return {"model_sha256": model_hash(self.checkpoint), **others, "exports": sorted(self.exports), **rules}


@dataclass(frozen=True)
class Outcome:
    """What came of a video.

    Args:
        kind: "done"; "failed", if the video is at fault; "broken", if an error that nobody foresaw may have left the
            worker unable to do another; or "stop", if no video could be done, as on a full disk.
        row: of a video that is done, its row in the table.
        reason: otherwise why, in one line.
        machine: of a worker that has begun, the name of its machine.
    """

    kind: Literal["done", "failed", "broken", "stop"]
    row: dict[str, Any] | None = None
    reason: str = ""
    machine: str = ""


class Segmenter:
    """Segment videos one after the other, with a network that is loaded once.

    Args:
        settings: what shapes the results.
        folder: where the results go.
        device: "cpu", or "cuda".
        watchdog: is told of all progress: pieces of a file that are copied, frames that are done.

    Raises:
        InputError: the model file cannot be read, or a setting is not valid.
    """

    def __init__(
        self, settings: Settings, folder: ArchiveFolder, device: str = "cpu", watchdog: Watchdog | None = None
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._pulse = watchdog.pulse if watchdog else lambda: None
        self._process = InferenceProcess([watchdog] if watchdog else [], device=device, **settings.keys())
        _remove_leftovers()

    def __call__(self, video: ArchiveVideo) -> Outcome:
        """Segment a video. Its results are in their place, whole, if the outcome is "done"; else nothing of it is."""
        try:
            with _scratch() as scratch:
                row = self._segment(video, scratch)
        except Exception as error:
            return _outcome(error, video)
        return Outcome("done", row)

    def _segment(self, video: ArchiveVideo, scratch: Path) -> dict[str, Any]:
        start = time.monotonic()
        path, sha256 = fetch(video, scratch, self._pulse)
        results = scratch / "results"
        try:
            self._process(path, results)
        except InputError as error:
            # People know the video by its own place.
            raise InputError(str(error).replace(str(path), video.path)) from error
        self._pulse()
        summary = read_summary(results, path.stem)
        assert summary is not None
        table = results / path.stem / EXPORTS["parquet"]
        doubts = doubts_of(summary, table)
        if (worst := most_doubtful(doubts)) is not None:
            write_thumbnail(results / THUMBNAIL, path, summary["frames"][worst]["index"], table)
        if "png" not in self._settings.exports:
            # Not the folder above it, in which the results of a video called masks.mp4 lie too.
            shutil.rmtree(results / "masks" / path.stem, ignore_errors=True)
            with suppress(OSError):
                (results / "masks").rmdir()
        row = describe(video, sha256, summary, doubts, time.monotonic() - start)
        try:
            return self._folder.deliver(results, row, self._pulse)
        except OSError as error:
            raise _CannotDeliver(
                f"cannot write {error.filename or self._folder.path} ({error.strerror or error})"
            ) from error


class _CannotDeliver(Exception):
    """The output cannot be written, which no other video would change."""


def _outcome(error: Exception, video: ArchiveVideo) -> Outcome:
    no_room = next(filter(None, map(describe_no_room, causes(error))), None)
    if isinstance(error, _CannotDeliver):
        return Outcome("stop", reason=no_room or f"{error}: make it writable")
    if no_room:
        return Outcome("stop", reason=f"{socket.gethostname()}: {no_room}, or set TMPDIR to a larger disk")
    if found := find_input_error(error):
        return Outcome("failed", reason=str(found))
    logger.exception("%s", video.path)
    text = (str(error).strip() or "no message").partition("\n")[0]
    return Outcome("broken", reason=f"{video.path}: {type(error).__name__}: {text}")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder on this machine's own disk for one video. Its lock ends with this process."""
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as name:
        lock = FileLock(Path(name) / ".lock")
        with lock:
            folder = Path(name) / "video"
            folder.mkdir()
            yield folder


def _remove_leftovers() -> None:
    """Remove what workers left that were killed: folders whose lock no process holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        lock = FileLock(folder / ".lock")
        try:
            if not (folder / ".lock").exists():  # one that is being made right now
                continue
            with lock.acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):
            continue
