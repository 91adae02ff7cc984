"""The augmentation that LSI-Net is trained with (MICCAI 2024), as MONAI dictionary transforms.

A sample is three frames and two masks, or three. Until they are resized they are uint8 arrays at the size at which they
were read, (H, W, 3) in RGB and (H, W) from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
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
from PIL import Image, ImageEnhance

from lsinet_monai.data.cache import FrameCache
from lsinet_monai.data.frames import frames_to_tensor, resize_frame

__all__ = [
    "FramesToTensord",
    "LoadFramesd",
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


def _smooth(frame: np.ndarray) -> np.ndarray:
    """Pillow's filter SMOOTH of a frame, uint8, (H, W, 3), to the last digit, in a sixth of its time.

    It was a third of the time of a sample: (the sum of 3 x 3 pixels + 4 times the one in the middle) / 13, rounded; the
    outermost pixels stay.
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


class _Sharpness:
    """Pillow's ``ImageEnhance.Sharpness``, faster."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.smooth = Image.fromarray(_smooth(np.asarray(image)))

    def enhance(self, factor: float) -> Image.Image:
        """Return the image, sharpened by a factor above 1, or smoothed by one below."""
        return Image.blend(self.smooth, self.image, factor)


# The enhancers in the order in which they are applied, with the least and the greatest factor in tenths.
_COLOUR_FACTORS: tuple[tuple[Callable[[Image.Image], Any], int, int], ...] = (
    (ImageEnhance.Brightness, 5, 15),
    (ImageEnhance.Contrast, 5, 15),
    (ImageEnhance.Color, 0, 20),
    (_Sharpness, 0, 30),
)


class LoadFramesd(MapTransform):
    """Read frames and masks from their paths.

    Args:
        keys: paths of frames, which become uint8, (H, W, 3), RGB.
        mask_keys: paths of masks, which become uint8, (H, W), 0 to 255; None becomes zeros of the first frame's size.
        cache: reads them, and has some of them in memory.

    Raises:
        InputError: on call, a file that cannot be read.
    """

    def __init__(self, keys: KeysCollection, mask_keys: Sequence[str], cache: FrameCache | None = None) -> None:
        super().__init__(keys)
        self.mask_keys = tuple(mask_keys)
        self.cache = cache or FrameCache([])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with every path replaced by what it leads to."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.cache.read_frame(d[key])
        size = d[self.keys[0]].shape[:2]
        for key in self.mask_keys:
            d[key] = np.zeros(size, np.uint8) if d[key] is None else self.cache.read_mask(d[key])
        return d


class RandFlipClipd(RandomizableTransform, MapTransform):
    """Flip all frames and masks of a sample left to right, or none.

    Args:
        keys: frames and masks, (H, W, 3) or (H, W).
        prob: the probability of a flip.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with all of the keys flipped, or none."""
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(d):
                d[key] = np.array(Image.fromarray(d[key]).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        return d


class RandRotateClipd(RandomizableTransform, MapTransform):
    """Rotate all frames and masks of a sample by one angle about their centre, bicubic, the corners black.

    Args:
        keys: frames and masks, uint8, (H, W, 3) or (H, W).
        prob: the probability of a rotation.
        max_degrees: the angle is a whole number of degrees drawn uniformly from [-max_degrees, max_degrees].
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
        """Return the data with all of the keys rotated, or none."""
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(d):
                d[key] = np.array(Image.fromarray(d[key]).rotate(self._angle, Image.Resampling.BICUBIC))
        return d


class RandColourd(Randomizable, MapTransform):
    """Change brightness (factor 0.5-1.5), contrast (0.5-1.5), saturation (0-2) and sharpness (0-3) of every frame.

    The factors are those of Pillow's enhancers, drawn in steps of 0.1, for each frame anew.

    Args:
        keys: frames, uint8, (H, W, 3), RGB.
    """

    def __init__(self, keys: KeysCollection) -> None:
        MapTransform.__init__(self, keys)
        self._factors: list[float] = []

    def randomize(self, data: Any | None = None) -> None:
        """Draw the factors for one frame."""
        self._factors = [self.R.randint(least, greatest + 1) / 10 for _, least, greatest in _COLOUR_FACTORS]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with every frame changed."""
        d = dict(data)
        for key in self.key_iterator(d):
            self.randomize()
            image = Image.fromarray(d[key])
            for (enhancer, _, _), factor in zip(_COLOUR_FACTORS, self._factors, strict=True):
                image = enhancer(image).enhance(factor)
            d[key] = np.array(image)
        return d


class RandMaskNoised(Randomizable, MapTransform):
    """Set a few pixels of every mask to 0 or 255 at random.

    Args:
        keys: masks, uint8, (H, W).
        fraction: the share of the pixels that are drawn, with repetition.
    """

    def __init__(self, keys: KeysCollection, fraction: float = 0.0015) -> None:
        MapTransform.__init__(self, keys)
        self.fraction = fraction
        self._pixels = self._values = np.empty(0, int)

    def randomize(self, data: np.ndarray) -> None:
        """Draw the pixels to set in one mask, and what they are set to."""
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
    """Resize frames and masks, bilinear and antialiased, and make tensors of them.

    Args:
        keys: frames, uint8, (H, W, 3), RGB, which become float32, (3, height, width), normalised as by
            :func:`~lsinet_monai.data.frames_to_tensor`.
        mask_keys: masks, uint8, (H, W), 0 to 255, which become float32, (1, height, width), in [0, 1]. They are not
            made binary again: their edges stay soft.
        image_size: side, or height and width, of the tensors in pixels.
    """

    def __init__(self, keys: KeysCollection, mask_keys: Sequence[str], image_size: int | Sequence[int]) -> None:
        super().__init__(keys)
        self.mask_keys = tuple(mask_keys)
        self.image_size = image_size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with tensors for arrays."""
        d = dict(data)
        height, width = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
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
    """Build what makes a training sample from the paths of its frames and masks.

    Args:
        image_size: side, or height and width, of what the network is trained on, in pixels.
        augment: augment as the released training does; otherwise read, resize and normalise only.
        cache: reads the frames and masks, and has some of them in memory.
        every_frame: let ``label`` have the masks of all three frames, the current, the adjacent and the memory one.

    Returns:
        a transform from paths (``image``, ``adjacent``, ``memory``; ``label``, ``adjacent_label``, ``memory_mask``,
        which may be None) to tensors ``image``, ``adjacent`` and ``memory``, float32, (3, height, width), normalised,
        ``label`` and ``memory_mask``, float32, (1, height, width), in [0, 1]; ``label`` with ``every_frame``
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
