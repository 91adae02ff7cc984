"""Frames in which a person points at lesions: from clicks and boxes to masks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.errors import InputError
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.inferers.input_checks import as_mask
from lsinet_monai.inferers.prompt_window import Window, choose_window, crop, paste
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.networks.encoder import STRIDES
from lsinet_monai.networks.prompt_head import (
    NEGATIVE,
    NO_POINT,
    POSITIVE,
    PROMPT_STRIDE,
    check_prompt_head,
)

__all__ = ["PromptStore", "PromptedFrame"]

_SURE = 9.0
"""The logit of a pixel that a given mask has; its negative where nothing is known of a lesion."""

_MOST_FRAMES = 16  # whose prompts are kept

Point = tuple[float, float, int]
Box = tuple[float, float, float, float]


@dataclass
class _Lesion:
    """What a person has asked for, and the masks that followed, one after each point."""

    start: Tensor | None
    """The logit before the first point."""
    box: Box | None
    points: list[Point] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    """The logit of the box alone, if there is one, then those after each point: (1, 1, H, W) of the encoder's input."""


class PromptedFrame:
    """An encoded frame, and the lesions in it at which a person has pointed.

    A mask is refined point by point: each step sees all points so far and the mask of the step before. Once it is known
    where a small lesion is, a step sees a window about it larger, see :mod:`lsinet_monai.inferers.prompt_window`. The
    steps are kept, so a further point costs one step, and to take back the last one costs none. The result depends on
    the prompts alone, and not on the calls before.

    Args:
        network: in evaluation mode, with a prompt head.
        pixels: the frame, uint8, (H, W, 3), RGB.
        image_size: height and width to which the frame is resized for the network.
        features: the encoded frame; encoded here if not given.
        mask: (H, W), bool or integer, the mask that the frame has so far: lesion 1, from which its points start.

    Raises:
        InputError: the network has no prompt head.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: LSINet,
        pixels: np.ndarray,
        image_size: tuple[int, int],
        features: Features | None = None,
        mask: np.ndarray | None = None,
    ) -> None:
        self.network = network
        self.image_size = image_size
        self.size = (pixels.shape[0], pixels.shape[1])
        self._pixels = pixels
        self._head = check_prompt_head(network.prompt_head)
        self._device = next(network.parameters()).device
        self._whole = Window(0, 0, image_size[1], image_size[0])
        tensor = self._to_tensor(self._whole)
        self._features = network.encode(tensor) if features is None else features
        self._seen = {self._whole: (self._features, self._head.see_frame(tensor))}  # and the last window's
        self._lesions: dict[int, _Lesion] = {}
        self._given = None if mask is None else as_mask(mask, self.size, 0)
        self._first = None if self._given is None else self._as_start(self._given)

    def segment(
        self,
        points: Any,
        labels: Any,
        box: Any = None,
        mask: np.ndarray | Tensor | None = None,
        lesion: int = 1,
    ) -> np.ndarray:
        """Segment a lesion from all that a person has pointed at so far.

        Args:
            points: (N, 2) as x, y in the frame's pixels, in the order of the clicks; may be empty if there is a box.
            labels: (N,): 1 for a point in the lesion, 0 for one outside.
            box: left, top, right and bottom of the lesion in the same pixels.
            mask: (H, W), bool or integer, what to start from, the same in each call of a lesion. If not given, lesion 1
                starts from the mask that the frame had, and others from nothing.
            lesion: the lesion's number.

        Returns:
            its mask, bool, (H, W).

        Raises:
            InputError: the prompts do not have these shapes, lie outside the frame, or there are none.
        """
        clicks = self._as_points(points, labels)
        corners = None if box is None else self._as_box(box)
        if not clicks and corners is None:
            raise InputError("there is nothing to segment: give points, a box, or both")
        known = self._lesions.get(lesion)
        start = self._first if lesion == 1 else None
        if mask is not None:
            start = self._as_start(as_mask(mask, self.size, 0))
        if known is None or known.box != corners or not _are_equal(known.start, start):
            known = _Lesion(start, corners)
        same = 0
        while same < min(len(clicks), len(known.points)) and clicks[same] == known.points[same]:
            same += 1
        kept = known.logits[: same + (corners is not None)]
        known = _Lesion(start, corners, clicks, kept)
        first = len(kept) + (corners is None)
        for count in range(first, len(clicks) + 1):
            known.logits.append(self._step(known, count))
        self._lesions[lesion] = known
        return self._to_mask(known.logits[-1])

    def remove(self, lesion: int) -> None:
        """Forget a lesion's points and box; one that is not known is no error."""
        self._lesions.pop(lesion, None)

    @property
    def lesions(self) -> list[int]:
        """The numbers of the lesions that have points or a box."""
        return list(self._lesions)

    @property
    def is_empty(self) -> bool:
        """Whether the frame has neither points nor boxes, and had no mask before."""
        return not self._lesions and self._given is None

    @property
    def mask(self) -> np.ndarray:
        """All lesions together, bool, (H, W). The mask that the frame had is lesion 1 until points change it."""
        found = np.zeros(self.size, bool) if self._given is None or 1 in self._lesions else self._given.copy()
        for lesion in self._lesions.values():
            found |= self._to_mask(lesion.logits[-1])
        return found

    @torch.no_grad()
    def _step(self, lesion: _Lesion, count: int) -> Tensor:
        """The logit after the first ``count`` points, (1, 1, H, W) of the encoder's input."""
        before = lesion.logits[-1] if lesion.logits else lesion.start
        height, width = self.image_size
        across, down = width / self.size[1], height / self.size[0]
        points = [(x * across, y * down, label) for x, y, label in lesion.points[:count]]
        box = None
        if lesion.box is not None:
            box = [side * scale for side, scale in zip(lesion.box, (across, down) * 2, strict=True)]
        if before is None:
            before = torch.full((1, 1, height, width), -_SURE, device=self._device)
        mask = (before > 0)[0, 0].cpu().numpy()
        window = choose_window(mask, [(x, y) for x, y, label in points if label == POSITIVE], box)
        features, detail = self._see(window)
        probability = F.pad(before.sigmoid(), (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))
        so_far = F.avg_pool2d(crop(probability, [window], self.image_size), PROMPT_STRIDE)
        zoom = width / window.width, height / window.height
        shown = [((x - window.left) * zoom[0], (y - window.top) * zoom[1], label) for x, y, label in points]
        shown = [(x, y, label) for x, y, label in shown if 0 <= x <= width and 0 <= y <= height]
        shown = shown or [(0.0, 0.0, NO_POINT)]
        corners = None
        if box is not None:
            offsets = (window.left, window.top) * 2
            corners = self._tensor([[(x - at) * z for x, at, z in zip(box, offsets, zoom * 2, strict=True)]])
        places, labels = self._tensor([[point[:2] for point in shown]]), self._tensor([[point[2] for point in shown]])
        logit = self.network.refine(features, detail, places, labels, corners, so_far)
        enlarged = F.interpolate(logit, scale_factor=PROMPT_STRIDE, mode="bilinear")[..., :height, :width]
        return paste(before, enlarged, window)

    def _see(self, window: Window) -> tuple[Features, Tensor]:
        """The features of a window, and its detail; those of the last window are kept."""
        if window not in self._seen:
            features = self._features
            cropped = tuple(crop(x, [window], self.image_size) for x in features.features)
            detail = self._head.see_frame(self._to_tensor(window))
            self._seen = {self._whole: self._seen[self._whole], window: (features._replace(features=cropped), detail)}
        return self._seen[window]

    def _to_tensor(self, window: Window) -> Tensor:
        """The frame's pixels in a window, as the encoder takes them: (1, 3, H, W)."""
        pixels = self._pixels
        if window != self._whole:
            (height, width), (high, wide) = self.size, self.image_size
            left, right = window.left * width / wide, (window.left + window.width) * width / wide
            top, bottom = window.top * height / high, (window.top + window.height) * height / high
            size, box = (wide, high), (left, top, right, bottom)
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box))
        return frames_to_tensor([pixels], self.image_size, self._device)[:, 0].unsqueeze(0)

    def _tensor(self, values: list[list[Any]]) -> Tensor:
        return torch.tensor(values, device=self._device)

    def _to_mask(self, logit: Tensor) -> np.ndarray:
        return (F.interpolate(logit, self.size, mode="bilinear") > 0)[0, 0].cpu().numpy()

    def _as_start(self, mask: np.ndarray) -> Tensor:
        """The logit of a given mask, (1, 1, H, W) of the encoder's input."""
        found = torch.from_numpy(mask)[None, None].to(self._device, torch.float32)
        resized = F.interpolate(found, self.image_size, mode="bilinear", antialias=True)
        return (resized - 0.5) * 2 * _SURE

    def _as_points(self, points: Any, labels: Any) -> list[Point]:
        places, kinds = _as_array(points, "points"), _as_array(labels, "labels")
        if not places.size and not kinds.size:
            return []
        if places.ndim != 2 or places.shape[1] != 2 or kinds.shape != places.shape[:1]:
            raise InputError(f"points must be (N, 2) as x, y, and labels (N,), got {places.shape} and {kinds.shape}")
        if not np.isin(kinds, (POSITIVE, NEGATIVE)).all():
            raise InputError(f"labels must be 1 for points in the lesion and 0 for others, got {kinds.tolist()}")
        self._check_inside(places, f"points={places.tolist()}")
        return [(float(x), float(y), int(kind)) for (x, y), kind in zip(places, kinds, strict=True)]

    def _as_box(self, box: Any) -> Box:
        corners = _as_array(box, "box")
        if corners.shape != (4,) or not (corners[:2] < corners[2:]).all():
            raise InputError(f"box={corners.tolist()} must be left, top, right, bottom, with an area")
        self._check_inside(corners.reshape(2, 2), f"box={corners.tolist()}")
        left, top, right, bottom = corners.tolist()
        return left, top, right, bottom

    def _check_inside(self, places: np.ndarray, name: str) -> None:
        height, width = self.size
        if not ((places >= 0) & (places <= (width, height))).all():
            raise InputError(f"{name} must lie in the frame, which is {width} x {height} pixels")


class PromptStore:
    """The frames of a video in which a person points. The 16 frames used last are kept.

    Args:
        store: the video's encoded frames.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._frames: OrderedDict[int, PromptedFrame] = OrderedDict()  # the one used last at the end

    def open(self, frame: int, pixels: np.ndarray, mask: np.ndarray | None) -> PromptedFrame:
        """Return a frame with its prompts; without any if it was not opened yet, or is no longer kept.

        Args:
            frame: its index, from 0.
            pixels: uint8, (H, W, 3), RGB.
            mask: (H, W), the mask that a frame without prompts has so far, see :class:`PromptedFrame`.

        Raises:
            InputError: the network has no prompt head.
        """
        if frame not in self._frames:
            encoded = self._store.get(frame)
            features = None if encoded is None else encoded.features
            self._frames[frame] = PromptedFrame(self._store.network, pixels, self._store.image_size, features, mask)
            if len(self._frames) > _MOST_FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(frame)
        return self._frames[frame]

    def forget(self, frame: int) -> None:
        """Forget a frame's prompts; one that is not kept is no error."""
        self._frames.pop(frame, None)

    def remove(self, frame: int, lesion: int) -> np.ndarray | None:
        """Forget a lesion's points and box.

        Returns:
            the frame's mask without them, bool, (H, W), or None if nothing is left.

        Raises:
            InputError: there are none.
        """
        prompted = self._frames.get(frame)
        if prompted is None or lesion not in prompted.lesions:
            raise InputError(
                f"frame {frame} has no points of lesion {lesion}, or is none of the last {_MOST_FRAMES} with points: "
                "take its whole mask back with remove_mask, or replace it with add_mask"
            )
        prompted.remove(lesion)
        return None if prompted.is_empty else prompted.mask


def _as_array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}={values!r} are not numbers in rows of one length") from error


def _are_equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))
