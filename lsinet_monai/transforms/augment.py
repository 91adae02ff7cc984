"""Augment training samples as LSI-Net's training does (MICCAI 2024), with MONAI dictionary transforms.

A sample has three frames, and a mask for two or three of them. They stay uint8 arrays of the size at which they were
read, (H, W, 3) in RGB and (H, W) from 0 to 255, until :class:`FramesToTensord` resizes them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import (
    Compose,
    ConcatItemsd,
    DeleteItemsd,
    MapTransform,
    Randomizable,
    RandomizableTransform,
)
from monai.utils import ensure_tuple_rep
from PIL import Image, ImageEnhance

from lsinet_monai.data.cache import FrameCache
from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.data.frames import resize_frame
from lsinet_monai.transforms.load import LoadFramesd

__all__ = [
    "FramesToTensord",
    "RandColourd",
    "RandFlipClipd",
    "RandMaskNoised",
    "RandRotateClipd",
    "training_transforms",
]

_FRAME_KEYS = ("image", "adjacent", "memory")
_MASK_KEYS = ("label", "memory_mask")
_EVERY_MASK_KEYS = ("label", "adjacent_label", "memory_mask")

_STRIP_ROWS = 128


class RandFlipClipd(RandomizableTransform, MapTransform):
    """Flip all frames and masks of a sample left to right, or leave all as they are.

    Args:
        keys: frames and masks, (H, W, 3) or (H, W).
        prob: the probability of a flip.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with all or none of the keys flipped."""
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(d):
                d[key] = np.array(Image.fromarray(d[key]).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        return d


class RandRotateClipd(RandomizableTransform, MapTransform):
    """Rotate all frames and masks of a sample by one angle about their centre; bicubic, with black corners.

    Args:
        keys: frames and masks, uint8, (H, W, 3) or (H, W).
        prob: the probability of a rotation.
        max_degrees: the angle is a whole number of degrees, uniform in [-max_degrees, max_degrees].
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.2, max_degrees: int = 15) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.max_degrees = max_degrees
        self._angle = 0

    def randomize(self, data: Any | None = None) -> None:
        """Draw whether to rotate, and by which angle."""
        super().randomize(None)
        if self._do_transform:
            self._angle = self.R.randint(-self.max_degrees, self.max_degrees + 1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with all or none of the keys rotated."""
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(d):
                d[key] = np.array(Image.fromarray(d[key]).rotate(self._angle, Image.Resampling.BICUBIC))
        return d


class RandColourd(Randomizable, MapTransform):
    """Change brightness, contrast, saturation and sharpness of each frame, in this order, by factors of its own.

    A factor of 1 changes nothing; 0 gives a black, a plain grey, a greyscale or a smoothed frame.

    Args:
        keys: frames, uint8, (H, W, 3), RGB.
        brightness: the lowest and highest factor of the brightness.
        contrast: those of the contrast.
        saturation: those of the saturation.
        sharpness: those of the sharpness.
        step: factors are drawn uniformly in steps of this size.
    """

    def __init__(
        self,
        keys: KeysCollection,
        brightness: Sequence[float] = (0.5, 1.5),
        contrast: Sequence[float] = (0.5, 1.5),
        saturation: Sequence[float] = (0.0, 2.0),
        sharpness: Sequence[float] = (0.0, 3.0),
        step: float = 0.1,
    ) -> None:
        MapTransform.__init__(self, keys)
        self.ranges = (brightness, contrast, saturation, sharpness)
        self.step = step
        self._factors: list[float] = []

    def randomize(self, data: Any | None = None) -> None:
        """Draw the four factors of one frame."""
        self._factors = []
        for low, high in self.ranges:
            steps = self.R.randint(round((high - low) / self.step) + 1)
            self._factors.append(round(low + steps * self.step, 9))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with every frame changed."""
        d = dict(data)
        for key in self.key_iterator(d):
            self.randomize()
            d[key] = _change_colours(d[key], *self._factors)
        return d


def _change_colours(
    frame: np.ndarray, brightness: float, contrast: float, saturation: float, sharpness: float
) -> np.ndarray:
    """Apply Pillow's four enhancers to a frame, uint8, (H, W, 3)."""
    # torchvision's adjust_* call these enhancers on Pillow images. On tensors they are up to 2 levels off, and slower:
    # twice for the saturation, three times for the sharpness.
    image = ImageEnhance.Brightness(Image.fromarray(frame)).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    image = ImageEnhance.Color(image).enhance(saturation)
    # This is ImageEnhance.Sharpness with a faster filter.
    image = Image.blend(Image.fromarray(_smooth(np.asarray(image))), image, sharpness)
    return np.array(image)


def _smooth(frame: np.ndarray) -> np.ndarray:
    """Smooth a frame, uint8, (H, W, 3), with exactly the result of Pillow's filter SMOOTH, in a sixth of its time.

    A pixel becomes (the sum of the 3 x 3 pixels around it + 4 times itself) / 13, rounded; the outermost pixels stay.
    """
    smooth = frame.copy()
    height, _, channels = frame.shape
    pixels, result = frame.reshape(height, -1), smooth.reshape(height, -1)
    for top in range(1, height - 1, _STRIP_ROWS):  # strips that stay in the processor's cache
        bottom = min(top + _STRIP_ROWS, height - 1)
        strip = pixels[top - 1 : bottom + 1].astype(np.uint16)
        columns = strip[:-2] + strip[1:-1] + strip[2:]
        sums = columns[:, : -2 * channels] + columns[:, channels:-channels] + columns[:, 2 * channels :]
        sums += 4 * strip[1:-1, channels:-channels]
        result[top:bottom, channels:-channels] = (sums + 6) // 13
    return smooth


class RandMaskNoised(Randomizable, MapTransform):
    """Set a few pixels of every mask to 0 or 255 at random.

    Args:
        keys: masks, uint8, (H, W).
        fraction: the fraction of the pixels to draw, with repetition.
    """

    def __init__(self, keys: KeysCollection, fraction: float = 0.0015) -> None:
        MapTransform.__init__(self, keys)
        self.fraction = fraction
        self._pixels = self._values = np.empty(0, int)

    def randomize(self, data: np.ndarray) -> None:
        """Draw the pixels to set in one mask, and their values, 0 or 255.

        Args:
            data: the mask, uint8, (H, W).
        """
        count = int(self.fraction * data.size)
        self._pixels = self.R.randint(data.size, size=count)
        self._values = 255 * self.R.randint(2, size=count)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with noise in every mask."""
        d = dict(data)
        for key in self.key_iterator(d):
            mask = d[key].copy()
            self.randomize(mask)
            mask.flat[self._pixels] = self._values
            d[key] = mask
        return d


class FramesToTensord(MapTransform):
    """Resize frames and masks, bilinear and antialiased, and convert them to tensors.

    Args:
        keys: frames, uint8, (H, W, 3), RGB, which become float32, (3, height, width), normalised as in
            :func:`~lsinet_monai.data.frames_to_tensor`.
        mask_keys: masks, uint8, (H, W), 0 to 255, which become float32, (1, height, width), in [0, 1]. Their edges
            stay soft.
        image_size: side, or height and width, of the tensors in pixels.
    """

    def __init__(self, keys: KeysCollection, mask_keys: Sequence[str], image_size: int | Sequence[int]) -> None:
        super().__init__(keys)
        self.mask_keys = tuple(mask_keys)
        self.image_size = image_size

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of this transform, by config key."""
        return {"image_size": self.image_size}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with a tensor in place of every array."""
        d = dict(data)
        height, width = ensure_tuple_rep(self.image_size, 2)
        for key in self.key_iterator(d):
            d[key] = frames_to_tensor([d[key]], self.image_size)[:, 0]
        for key in self.mask_keys:
            d[key] = torch.from_numpy(resize_frame(d[key], (height, width)))[None].to(torch.float32) / 255
        return d


def training_transforms(
    image_size: int | Sequence[int],
    augment: bool = True,
    cache: FrameCache | None = None,
    every_frame: bool = False,
) -> Compose:
    """Build the published chain of transforms, from a sample's paths to tensors. It is for clips, not for stills.

    Args:
        image_size: side, or height and width, of the network's input in pixels.
        augment: augment as the released training does; False reads, resizes and normalises only.
        cache: reads the files and keeps some of them decoded in memory.
        every_frame: join the masks of the current, the adjacent and the memory frame, in this order, in ``label``.

    Returns:
        A transform from paths (``image``, ``adjacent``, ``memory``; ``label``, ``adjacent_label``, ``memory_mask``,
        which may be None) to tensors: ``image``, ``adjacent`` and ``memory``, float32, (3, height, width), normalised;
        ``label`` and ``memory_mask``, float32, (1, height, width), in [0, 1]; with ``every_frame``, ``label`` is
        (3, height, width).
    """
    masks = _EVERY_MASK_KEYS if every_frame else _MASK_KEYS
    augmentation = [
        RandFlipClipd(_FRAME_KEYS + masks),
        RandRotateClipd(_FRAME_KEYS + masks),
        RandColourd(_FRAME_KEYS),
        RandMaskNoised(masks),
    ]
    return Compose(
        [
            LoadFramesd(_FRAME_KEYS, masks, cache),
            *(augmentation if augment else []),
            FramesToTensord(_FRAME_KEYS, masks, image_size),
            *([ConcatItemsd(masks, "label")] if every_frame else []),
            DeleteItemsd("adjacent_label"),
        ]
    )
