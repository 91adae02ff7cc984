"""The frames around one that people look at, as the source of a session that needs them soon, the nearest first."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from lib.frame_images import FrameImages
from lsinet_monai.data import resize_frame
from lsinet_monai.errors import InputError

__all__ = ["NearbyFrames"]

_JUST_SHOWN = 3


class NearbyFrames:
    """Frames of a video, resized for the network, for a reader that goes away from a frame in both directions by turns.

    A compressed video is decoded from its last key frame on, which may be hundreds of frames earlier. Reading back and
    forth would do that again and again. So the frames next to the centre are read one by one: they have just been
    shown, and are at hand. All others come from one pass over the video, forwards, and wait here until they are asked
    for. Each is given out once; for a second time it is read by itself.

    So it holds at most the frames around one centre, in the network's size, and the few decoded ones of that pass.

    Args:
        images: reads frames.
        path: the video.
        frame_count: its number of frames.
        image_size: height and width of the network's input.
        reach: how many frames on either side of the centre will be read.

    Attributes:
        on_read: called before each frame is read. What it raises ends the reading.
    """

    def __init__(
        self, images: FrameImages, path: Path, frame_count: int, image_size: tuple[int, int], reach: int
    ) -> None:
        self._images = images
        self._path = path
        self._frame_count = frame_count
        self._image_size = image_size
        self._reach = reach
        self._around = range(0)
        self._centre: tuple[int, np.ndarray | None] = 0, None
        self._waiting: dict[int, np.ndarray] = {}
        self._pass: Generator[tuple[int, np.ndarray], None, None] | None = None
        self._passed = 0  # the frame after the last one of the pass
        self.on_read: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return self._frame_count

    def move(self, centre: int) -> None:
        """Go to another frame. The frames around the one before are dropped, but for those around this one, too."""
        if centre == self._centre[0] and self._around:
            return
        self.end_pass()
        self._centre = centre, None
        self._around = range(max(0, centre - self._reach), min(self._frame_count, centre + self._reach + 1))
        self._waiting = {frame: pixels for frame, pixels in self._waiting.items() if frame in self._around}

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a frame, uint8, (H, W, 3), RGB, in the network's size.

        Raises:
            InputError: the frame is damaged.
        """
        self.on_read()
        centre, kept = self._centre
        if index == centre:
            self._centre = centre, self._read(index) if kept is None else kept
            return self._centre[1]
        if index not in self._waiting and index in self._around and abs(index - centre) > _JUST_SHOWN:
            self._pass_on_to(index)
        found = self._waiting.pop(index, None)
        return self._read(index) if found is None else found

    def end_pass(self) -> None:
        """Stop decoding ahead. What is decoded already stays."""
        if self._pass is not None:
            self._pass.close()
        self._pass = None

    def _pass_on_to(self, index: int) -> None:
        """Let the frames wait up to this one, unless the pass is behind it already."""
        if self._pass is None:
            self._passed = index if index > self._centre[0] else self._around.start
            self._pass = self._images.stretch(self._path, self._passed, self._around.stop)
        while self._passed <= index:
            self.on_read()
            frame, pixels = next(self._pass, (self._around.stop, None))
            self._passed = frame + 1
            if pixels is not None:
                self._waiting[frame] = resize_frame(pixels, self._image_size)

    def _read(self, index: int) -> np.ndarray:
        try:
            return resize_frame(self._images.pixels(self._path, index), self._image_size)
        except InputError as error:
            raise InputError(f"frame {index} of '{self._path.name}' is damaged or missing") from error
