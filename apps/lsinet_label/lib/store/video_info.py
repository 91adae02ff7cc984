"""Facts about a whole video, such as its size and whether it is final: ``video.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import Conflict, NotFound
from lib.store.files import write_durably
from lsinet_monai.data import Video, open_video
from lsinet_monai.data.video.identity import is_same_picture, thumbnail
from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo

__all__ = ["VideoInfo"]


class VideoInfo:
    """Facts about one video, kept on disk.

    Args:
        image_id: its id in the datastore.
        path: the video.
        folder: the video's folder in the store.
        lock: the video's lock.
        on_replaced: called, with the lock held, when another video has taken the file's name.
    """

    def __init__(
        self,
        image_id: str,
        path: Path,
        folder: Path,
        lock: AbstractContextManager[Any],
        on_replaced: Callable[[], None],
    ) -> None:
        self.id = image_id
        self._path = path
        self._file = folder / "video.json"
        self._lock = lock
        self._on_replaced = on_replaced
        self.reload()

    def reload(self) -> None:
        """Read the facts from the disk."""
        try:
            self._facts: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._facts = {}

    def get(self, name: str, default: Any = None) -> Any:
        """A fact by its name, or the default if it is not known."""
        return self._facts.get(name, default)

    def update(self, **facts: Any) -> None:
        """Store facts. They are on the disk when this returns. If they cannot be written, none of them changes."""
        facts = {**self._facts, **facts}
        write_durably(self._file, json.dumps(facts, indent=1).encode())
        self._facts = facts

    def count(self, name: str) -> int:
        """Count one more of something, and return the new number."""
        number = int(self._facts.get(name, 0)) + 1
        self.update(**{name: number})
        return number

    # The video file --------------------------------------------------------------------------------------------------

    def open_once(self) -> None:
        """Read the video's size and number of frames, unless they are known and the file is unchanged.

        Raises:
            InputError: the video cannot be read. The error is kept until the file changes.
        """
        stat = self._path.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        with self._lock:
            if self.get("mark") == mark:
                if self.get("error"):
                    raise InputError(self.get("error"))
                return
        try:
            with open_video(self._path) as video:
                found, samples = self._examine(video), _read_samples(video)
        except InputError as error:
            message = self._without_path(str(error))
            with self._lock:
                self.update(mark=mark, error=message)
            raise InputError(message) from error
        with self._lock:
            is_same = [self.get("frames"), self.get("size")] == [found["frames"], found["size"]]
            if self.get("frames") is not None and not (is_same and _are_alike(self.get("pictures"), samples)):
                self._on_replaced()
            pictures = [None if frame is None else thumbnail(frame).ravel().tolist() for frame in samples]
            self.update(mark=mark, error=None, pictures=pictures, **found)

    def _examine(self, video: Video) -> dict[str, Any]:
        seconds = [round(video.seconds(i), 6) for i in range(video.frame_count)]
        report = video.report
        return {
            "frames": video.frame_count,
            "fps": video.fps,
            "size": list(video.size),
            "files": [video.files[i] for i in range(video.frame_count)] if video.files else None,
            "seconds": None if _is_regular(seconds, video.fps) else seconds,
            "warnings": [self._without_path(str(report))] if report.notes or not report.is_complete else [],
        }

    def _without_path(self, text: str) -> str:
        return text.replace(str(self._path.parent) + os.sep, "")

    @property
    def frame_count(self) -> int:
        """The number of frames. Opens the video if that is not known yet."""
        self.open_once()
        return int(self._facts["frames"])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width. Opens the video if they are not known yet."""
        self.open_once()
        height, width = self._facts["size"]
        return height, width

    @property
    def clip(self) -> ClipInfo:
        """The facts that files of other tools need."""
        self.open_once()
        facts = self._facts
        seconds = facts["seconds"] or [i / facts["fps"] for i in range(facts["frames"])]
        return ClipInfo(
            self.id,
            self.size,
            facts["frames"],
            dict(enumerate(facts["files"] or [])),
            dict(enumerate(seconds)),
            facts["fps"],
        )

    def check_frame(self, frame: int) -> None:
        """Check that the video has a frame.

        Raises:
            NotFound: it does not.
        """
        if not 0 <= frame < self.frame_count:
            raise NotFound(f"frame {frame} is not in '{self.id}', which has the frames 0 to {self.frame_count - 1}")

    # Decisions -------------------------------------------------------------------------------------------------------

    @property
    def is_annotated(self) -> bool:
        """Whether the model has gone through the whole video."""
        return bool(self.get("annotated"))

    @property
    def is_final(self) -> bool:
        """Whether a person marked the video as final."""
        return bool(self.get("final"))

    def check_not_final(self) -> None:
        """Check that the video may be changed.

        Raises:
            Conflict: the video is final.
        """
        if self.is_final:
            raise Conflict(f"'{self.id}' is marked as final: open it again to change it")

    @property
    def error(self) -> str | None:
        """Why the video cannot be read, or why the model could not go through it."""
        return self.get("error") or (None if self.is_annotated else self.get("job_error"))

    def set_job_error(self, message: str | None) -> None:
        """Store why the model could not go through the video; None after a success."""
        with self._lock:
            if message != self.get("job_error"):
                self.update(job_error=message)


def _read_samples(video: Video) -> list[np.ndarray | None]:
    """The first, the middle and the last frame, uint8, (H, W, 3); None for a damaged one."""
    samples: list[np.ndarray | None] = []
    for frame in (0, video.frame_count // 2, video.frame_count - 1):
        try:
            samples.append(video.frame(frame))
        except InputError:
            samples.append(None)
    return samples


def _are_alike(pictures: list[list[int] | None] | None, samples: list[np.ndarray | None]) -> bool:
    """Whether frames look like the stored pictures, where both exist."""
    pairs = zip(pictures or [], samples, strict=False)
    return all(is_same_picture(picture, frame) for picture, frame in pairs if picture and frame is not None)


def _is_regular(seconds: Sequence[float], fps: float) -> bool:
    return all(abs(second - i / fps) < 0.5 / fps for i, second in enumerate(seconds))
