"""The field of view: the part of the frames that shows the endoscope's picture, without border and text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from scipy import ndimage, spatial
from torch import Tensor

from lsinet_monai.errors import InputError

__all__ = ["FieldOfView", "find_field_of_view"]

_LONG_SIDE = 640  # pixels: the search reduces larger frames to this
_QUANTILE = 0.8  # of the brightness over time: up to a fifth of the frames may show a title or a flash
_DARKEST = 40  # of 255: borders are at most as bright as this
_ABOVE_BORDER = 12  # of 255: after averaging over time and neighbours, the border's noise stays below this
_WRITING = 0.02  # of the frame's short side: thinner strokes are text
_SMALLEST = 0.1  # of the frame's area: a smaller bright part is not the endoscope's picture
_WHOLE = 0.995  # of the frame's area: a larger field of view counts as the whole frame


@dataclass(frozen=True)
class FieldOfView:
    """A video's field of view.

    Args:
        box: top, left, bottom and right of its bounding box in pixels; bottom and right are exclusive.
        mask: bool, (H, W), True inside.
    """

    box: tuple[int, int, int, int]
    mask: np.ndarray
    _masks: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)
    """The mask on each device that asked for it."""

    def crop(self, frame: np.ndarray) -> np.ndarray:
        """Cut the bounding box out of a frame, (H, W, 3), or out of a mask, (H, W).

        Returns:
            A view of the input.

        Raises:
            InputError: the input is of another size than the video's frames.
        """
        self._check(frame, self.mask.shape)
        top, left, bottom, right = self.box
        return frame[top:bottom, left:right]

    def restore(self, probability: Tensor) -> Tensor:
        """Put the probability map of a cropped frame back in its place.

        Args:
            probability: (height, width) of the bounding box, in [0, 1].

        Returns:
            (H, W), of the same type and on the same device; 0 outside the field of view.

        Raises:
            InputError: the map is of another size than the bounding box.
        """
        top, left, bottom, right = self.box
        self._check(probability, (bottom - top, right - left))
        whole = probability.new_zeros(self.mask.shape)
        whole[top:bottom, left:right] = probability
        return self.blacken(whole)

    def blacken(self, probability: Tensor) -> Tensor:
        """Set the probability map of a whole frame to 0 outside the field of view.

        Args:
            probability: (H, W), in [0, 1].

        Returns:
            A new tensor of the same type, on the same device.

        Raises:
            InputError: the map is of another size than the video's frames.
        """
        self._check(probability, self.mask.shape)
        device = probability.device
        if device not in self._masks:
            self._masks[device] = torch.from_numpy(self.mask).to(device)
        return torch.where(self._masks[device], probability, 0)

    def _check(self, image: np.ndarray | Tensor, size: tuple[int, ...]) -> None:
        if image.shape[:2] != size:
            raise InputError(f"an image of {tuple(image.shape[:2])} pixels does not fit the field of view, {size}")


def find_field_of_view(frames: Iterable[np.ndarray]) -> FieldOfView:
    """Find the field of view of a video from a sample of its frames.

    The search takes the largest part of the picture that is brighter than the border in most frames, and ignores
    strokes as thin as writing. Endoscopes show a rectangle, often with cut corners, an octagon or a disc. All are
    convex, so the result is the convex hull of the bright part, which includes dark places at its rim. Without a
    visible border, or without a bright part, the result is the whole frame.

    Args:
        frames: RGB, uint8, (H, W, 3), all of one size. About 50 frames, spread over the video, are plenty; one is
            enough. Up to a fifth may show something else, such as a title, and most of them may be dark.

    Returns:
        The field of view; its edge is exact to about 1/600 of the frame's long side.

    Raises:
        InputError: there are no frames, or they differ in size.
    """
    size = (0, 0)
    reduced: list[np.ndarray] = []
    for frame in frames:
        if reduced and frame.shape[:2] != size:
            raise InputError(f"frames of {frame.shape[:2]} and of {size} pixels have no field of view in common")
        size = frame.shape[0], frame.shape[1]
        # Dark mucosa is still red, so the brightest channel separates it best from the border.
        factor = -(-max(size) // _LONG_SIDE)
        reduced.append(np.asarray(Image.fromarray(frame.max(axis=2)).reduce(factor)))
    if not reduced:
        raise InputError("there are no frames to find the field of view in")
    brightness = np.quantile(np.stack(reduced), _QUANTILE, axis=0, method="higher")
    inside = _inside(brightness)
    mask = _convex_hull(inside, factor, size) if inside is not None else np.ones(size, bool)
    if mask.mean() > _WHOLE:
        return FieldOfView((0, 0, *size), np.ones(size, bool))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return FieldOfView((int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1), mask)


def _inside(brightness: np.ndarray) -> np.ndarray | None:
    """Find the largest bright part, bool, (h, w); return None without a border, or if the part is too small."""
    dark = brightness[brightness <= _DARKEST]
    if not dark.size:
        return None
    bright = brightness > np.median(dark) + _ABOVE_BORDER
    # Opening with a square keeps the corners of a rectangle.
    side = 2 * round(_WRITING * min(brightness.shape) / 2) + 1
    bright = ndimage.binary_opening(np.pad(bright, side, mode="edge"), np.ones((side, side)))[side:-side, side:-side]
    parts, count = ndimage.label(bright)
    if not count:
        return None
    inside = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    return inside if inside.mean() > _SMALLEST else None


def _convex_hull(inside: np.ndarray, factor: int, size: tuple[int, int]) -> np.ndarray:
    """Fill the convex hull of a mask, whose pixels are each ``factor`` x ``factor`` pixels of a frame of ``size``."""
    # scikit-image's convex_hull_image takes ten times as long for a frame of 1080p, and would be one more requirement.
    rows = np.flatnonzero(inside.any(axis=1))
    left, right = inside[rows].argmax(axis=1), inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
    corners = [(x, y) for ends in (left, right) for below in (0, 1) for x, y in zip(ends, rows + below, strict=True)]
    # A point is inside if a x + b y + c <= 0 for every side (a, b, c). In a row, that is an interval of columns.
    a, b, c = spatial.ConvexHull(np.array(corners) * factor).equations.T[:, None]
    y, x = np.arange(size[0])[:, None] + 0.5, np.arange(size[1]) + 0.5
    rest = b * y + c
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -rest / a
    first = np.where(a < 0, crossing, -np.inf).max(axis=1, keepdims=True)
    last = np.where(a > 0, crossing, np.inf).min(axis=1, keepdims=True)
    row_inside = ~((a == 0) & (rest > 0)).any(axis=1, keepdims=True)
    return row_inside & (x >= first) & (x <= last)
