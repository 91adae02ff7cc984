"""A folder of frames as a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lsinet_monai.data.folders import check_no_masks, frames_in, say_how_read
from lsinet_monai.data.frames import FRAME_SUFFIXES, frame_size, read_frame
from lsinet_monai.data.video.pictures import holds_several
from lsinet_monai.data.video.video import Video
from lsinet_monai.errors import InputError

__all__ = ["FolderVideo"]


class FolderVideo(Video):
    """The images in a folder, in natural order.

    Args:
        path: the folder.
        fps: frames per second.

    Raises:
        InputError: the folder has no images, or none that can be read; or one of them holds several pictures.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._paths = frames_in(path)
        if not self._paths:
            raise InputError(
                f"{path}: holds no frames ({', '.join(FRAME_SUFFIXES)}); give a video or a folder of frames"
            )
        several = next((frame for frame in self._paths if holds_several(frame)), None)
        if several is not None:
            raise InputError(
                f"{several}: holds several pictures, but is one of {len(self._paths)} frames in its folder; give the "
                "file as a video of its own, or save each picture as a file"
            )
        check_no_masks(self._paths)
        say_how_read(path, self._paths)
        files = {index: frame.name for index, frame in enumerate(self._paths)}
        super().__init__(path, self._find_size(path), fps, len(self._paths), expected=len(self._paths), files=files)

    def _find_size(self, path: Path) -> tuple[int, int]:
        """Return the height and width of the first frame that can be read."""
        for frame in self._paths:
            try:
                return frame_size(frame)
            except InputError as error:
                problem = error
        raise InputError(f"{path}: none of its {len(self._paths)} frames can be read; the last one: {problem}")

    def seconds(self, index: int) -> float:
        """Return the time of a frame, in seconds after the first one."""
        return index / self.fps

    def _decode_one(self, index: int) -> np.ndarray | None:
        try:
            return read_frame(self._paths[index])
        except InputError:
            return None
