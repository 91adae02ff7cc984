"""Single frames of videos, as pixels or as JPEG images: browsers cannot play every video that the app can read."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from lsinet_monai.data import Video, open_video, resize_frame

__all__ = ["FrameImages"]

_QUALITY = 90


class FrameImages:
    """Frames by index. The last few videos stay open, because reading the next frame is then fast.

    Args:
        most_open: how many videos stay open.
        most_at_once: how many frames are decoded at the same time. Other requests wait.
    """

    def __init__(self, most_open: int = 4, most_at_once: int = 2) -> None:
        self._most_open = most_open
        self._at_once = threading.BoundedSemaphore(most_at_once)
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[Path, int], tuple[Video, threading.Lock]] = OrderedDict()

    def jpeg(self, path: Path, frame: int, width: int | None = None) -> bytes:
        """A frame as a JPEG file.

        Args:
            path: the video.
            frame: its index.
            width: of the image in pixels; by default, and at most, the frame's own.

        Returns:
            the file's content.

        Raises:
            InputError: the video or the frame cannot be read.
        """
        with self._at_once:
            pixels = self._read(path, frame)
            if width is not None and width < pixels.shape[1]:
                pixels = resize_frame(pixels, (max(1, round(pixels.shape[0] * width / pixels.shape[1])), width))
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, format="JPEG", quality=_QUALITY)
            return file.getvalue()

    def pixels(self, path: Path, frame: int) -> np.ndarray:
        """A frame's pixels, uint8, (H, W, 3), RGB.

        Args:
            path: the video.
            frame: its index.

        Raises:
            InputError: the video or the frame cannot be read.
        """
        with self._at_once:
            return self._read(path, frame)

    def stretch(self, path: Path, start: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
        """Read the frames from ``start`` to before ``end`` in order, each decoded once, in a thread ahead.

        It has its own place in the video, so it does not disturb who reads single frames.

        Yields:
            index and pixels, uint8, (H, W, 3), RGB, without damaged frames. It ends early if other videos are opened
            meanwhile and this one is closed.

        Raises:
            InputError: the video cannot be read.
        """
        video, _ = self._video(path)
        try:
            for index, _, pixels in video.frames(start, end):
                yield index, pixels
        except ValueError as error:
            if "is closed" not in str(error):
                raise

    def _read(self, path: Path, frame: int) -> np.ndarray:
        video, lock = self._video(path)
        with lock:
            try:
                return video.frame(frame)
            except ValueError as error:
                if "is closed" not in str(error):
                    raise
        # Another request has closed this video to make room for its own.
        with open_video(path) as reopened:
            return reopened.frame(frame)

    def _video(self, path: Path) -> tuple[Video, threading.Lock]:
        key = path, path.stat().st_mtime_ns
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        opened = open_video(path), threading.Lock()
        with self._lock:
            kept = self._open.setdefault(key, opened)
            surplus = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - self._most_open)]
        for video, lock in surplus if kept is opened else [*surplus, opened]:
            with lock:
                video.close()
        return kept
