"""Encoded frames of a video: a store of limited size, read by frame index."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.errors import InputError
from lsinet_monai.inferers.bad_frames import are_blank, are_finite
from lsinet_monai.inferers.frame_step import encode_frames
from lsinet_monai.networks import Features, LSINet

__all__ = ["EncodedFrame", "FeatureStore", "FrameSource"]

logger = logging.getLogger(__name__)

# Small frames are encoded up to 2.6 times as fast in a batch, large ones on a CPU no faster, and slower in one of 8.
_BATCH = 4


class FrameSource(Protocol):
    """Frames by index: a list, an array (T, H, W, 3), or a video from :func:`lsinet_monai.data.open_video`."""

    def __len__(self) -> int:
        """Return the number of frames."""

    def __getitem__(self, index: int, /) -> np.ndarray:
        """Return a frame, uint8, (H, W, 3), RGB.

        Raises:
            InputError: the frame is damaged.
        """


class EncodedFrame(NamedTuple):
    """A frame's features, and its size."""

    features: Features
    """A batch of one frame."""
    size: tuple[int, int]
    """Height and width in the video, in pixels."""
    is_finite: bool = True
    """Whether all features are finite. If not, the frame gets an empty mask, and no other frame uses it."""
    is_blank: bool = False
    """Whether it shows nothing, see :func:`are_blank`. Such a frame is not written to memory."""
    detail: Tensor | None = None
    """What :meth:`FrameEngine.see` computed of it, if masks are refined."""


class FeatureStore:
    """Encode frames of a video on demand, and keep the frames used last, so that they are not encoded again.

    A damaged frame is kept as None.

    Args:
        network: in evaluation mode, on the device to compute on.
        source: the video.
        image_size: height and width to which frames are resized for the network.
        capacity: the number of frames to keep; at least ``encode_batch``.
        encode_batch: the number of frames to encode in one pass.
        encode: what encodes frames with the network; :func:`encode_frames` if not given.
        frame_size: height and width of the video's frames, if the source gives them smaller.
        see: what computes the frames' details, see :meth:`FrameEngine.see`; None for none.
    """

    def __init__(
        self,
        network: LSINet,
        source: FrameSource,
        image_size: tuple[int, int],
        capacity: int,
        encode_batch: int = 1,
        encode: Callable[[Sequence[Tensor]], list[Features]] | None = None,
        frame_size: tuple[int, int] | None = None,
        see: Callable[[Sequence[Tensor]], list[Tensor]] | None = None,
    ) -> None:
        self.network = network
        self.source = source
        self.image_size = image_size
        self.capacity = capacity
        self.encode_batch = encode_batch
        self._size = frame_size
        self._see = see
        self._encode_frames = partial(encode_frames, network=network) if encode is None else encode
        self._frames: OrderedDict[int, EncodedFrame | None] = OrderedDict()  # the one used last at the end

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    def get(self, frame: int, step: int = 1) -> EncodedFrame | None:
        """Return an encoded frame, or None if it is damaged.

        Args:
            frame: its index, from 0.
            step: 1 or -1: the direction in which further frames are needed. A frame that is not in the store is
                encoded together with the next frames in this direction, ``encode_batch`` frames in all.
        """
        if frame not in self._frames:
            read: dict[int, np.ndarray] = {}
            for other in range(frame, frame + step * self.encode_batch, step):
                if 0 <= other < len(self.source) and other not in self._frames:
                    try:
                        read[other] = self.source[other]
                    except InputError:
                        self._frames[other] = None
            self._frames |= self._encode(read)
            while len(self._frames) > self.capacity:
                self._frames.popitem(last=False)
        self._frames.move_to_end(frame)
        return self._frames[frame]

    def get_features(self, frames: Sequence[int]) -> list[Features]:
        """Return the features of some frames for a caller that keeps them itself: the store does not add the frames.

        They are encoded in batches of 4, or of ``encode_batch`` if that is more.

        Raises:
            InputError: a frame is damaged.
        """
        found = {frame: encoded for frame in frames if (encoded := self._frames.get(frame)) is not None}
        missing = [frame for frame in frames if frame not in found]
        batch = max(_BATCH, self.encode_batch)
        for start in range(0, len(missing), batch):
            found |= self._encode({frame: self.source[frame] for frame in missing[start : start + batch]})
        return [found[frame].features for frame in frames]

    def is_blank(self, frame: np.ndarray) -> bool:
        """Whether a frame, uint8, (H, W, 3), shows nothing, see :func:`are_blank`."""
        return bool(are_blank(frames_to_tensor([frame], self.image_size, self.device).movedim(1, 0)))

    @torch.no_grad()
    def _encode(self, frames: dict[int, np.ndarray]) -> dict[int, EncodedFrame]:
        if not frames:
            return {}
        clip = frames_to_tensor(list(frames.values()), self.image_size, self.device)
        tensors = clip.unsqueeze(0).unbind(2)
        encoded = self._encode_frames(tensors)
        details = [None] * len(tensors) if self._see is None else self._see(tensors)
        finite = torch.cat([are_finite([*x.features, *x.keys, *x.values]) for x in encoded]).tolist()
        blank = torch.cat([are_blank(x) for x in tensors]).tolist()
        for index, is_finite in zip(frames, finite, strict=True):
            if not is_finite:
                logger.warning("frame %d: the network's features are no numbers; its mask is left empty", index)
        return {
            index: EncodedFrame(features, self._size or (frame.shape[0], frame.shape[1]), is_finite, is_blank, detail)
            for (index, frame), features, is_finite, is_blank, detail in zip(
                frames.items(), encoded, finite, blank, details, strict=True
            )
        }
