"""Lesions that people point at: the encoded frames that they work on, kept so that each click is fast."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from monai.utils import ensure_tuple_rep

from lib.frame_images import FrameImages
from lib.model import ServedModel
from lib.store import StoredVideo
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import PromptedFrame

__all__ = ["PromptedFrames"]


class PromptedFrames:
    """Segments lesions from points and boxes. It stores nothing: what becomes of a mask is up to the person.

    A click takes no turn on the device, see :class:`lib.device_turns.DeviceTurns`: it is short, and a person waits.

    Args:
        images: reads frames.
        model: the model in service.
        most: how many encoded frames are kept, a few MB each.
    """

    def __init__(self, images: FrameImages, model: ServedModel, most: int = 32) -> None:
        self._images = images
        self._model = model
        self._most = most
        self._lock = threading.Lock()
        self._frames: OrderedDict[tuple[str, int, int, str], PromptedFrame] = OrderedDict()

    def prepare(self, video: StoredVideo, frame: int) -> None:
        """Encode a frame, so that the first click on it is as fast as the others.

        Raises:
            NotFound: there is no such frame.
            InputError: the frame cannot be read, or there is no model with a prompt head.
        """
        self._frame(video, frame)

    def segment(
        self,
        video: StoredVideo,
        frame: int,
        points: Sequence[Sequence[float]],
        labels: Sequence[int],
        box: Sequence[float] | None = None,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Segment a lesion, see :meth:`lsinet_monai.inferers.PromptedFrame.segment`.

        Returns:
            its mask, bool, (H, W).

        Raises:
            NotFound: there is no such frame.
            InputError: see :meth:`prepare`; or the prompts cannot be used.
        """
        prompted = self._frame(video, frame)
        with self._lock:
            return prompted.segment(points, labels, box, mask)

    def _frame(self, video: StoredVideo, frame: int) -> PromptedFrame:
        video.info.check_frame(frame)
        mark, model = self._model.load()
        key = video.id, video.path.stat().st_mtime_ns, frame, mark
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        try:
            pixels = self._images.pixels(video.path, frame)
        except InputError as error:
            raise InputError(f"frame {frame} of '{video.id}' is damaged or missing: choose another frame") from error
        with self._lock:
            for other in [other for other in self._frames if other[-1] != mark]:
                del self._frames[other]  # so that a model that is no longer in service leaves the device
            if key not in self._frames:
                size = ensure_tuple_rep(model.image_size, 2)
                self._frames[key] = PromptedFrame(model.network, pixels, size)
                while len(self._frames) > self._most:
                    self._frames.popitem(last=False)
            return self._frames[key]
