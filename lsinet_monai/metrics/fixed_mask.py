"""The best fixed mask: the same mask for every frame, a baseline that any useful network must beat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lsinet_monai.data import read_mask
from lsinet_monai.metrics.clip_dice import frame_dice

__all__ = ["best_fixed_mask", "fixed_mask_dice"]


def best_fixed_mask(clips: Sequence[Mapping[str, Any]], size: tuple[int, int] = (256, 256)) -> tuple[np.ndarray, float]:
    """Learn from training masks where polyps usually are.

    Average all training masks, then choose the threshold, in steps of 1/255, with the highest mean Dice (over the
    frames of a clip, then over the clips) on the same clips.

    Args:
        clips: the training clips, at least one; ``label`` lists a clip's mask files.
        size: height and width of the mean mask; masks of any size are resized to it.

    Returns:
        The mean mask, float32, (H, W), in [0, 1], and the threshold, in [0, 1]. A frame's fixed mask is the mean mask,
        resized bilinearly to the frame, above the threshold.

    Raises:
        InputError: a mask cannot be read.
    """
    total, count = np.zeros(size, np.float64), 0
    for clip in clips:
        for mask in _masks(clip):
            total += _resize(mask.astype(np.float32), size)
            count += 1
    mean_mask = (total / count).astype(np.float32)
    clip_means = [
        np.mean([_dice_at_every_threshold(mean_mask, mask) for mask in _masks(clip)], axis=0) for clip in clips
    ]
    return mean_mask, float(np.argmax(np.mean(clip_means, axis=0))) / 255


def fixed_mask_dice(train_clips: Sequence[Mapping[str, Any]], test_clips: Sequence[Mapping[str, Any]]) -> float:
    """Score the training clips' best fixed mask on test clips.

    Args:
        train_clips: the clips to learn the mask from; ``label`` lists a clip's mask files.
        test_clips: the clips to score it on, at least one, in the same form.

    Returns:
        The mean Dice over the frames of a clip, then over the clips, in [0, 1].

    Raises:
        InputError: a mask cannot be read.
    """
    mean_mask, threshold = best_fixed_mask(train_clips)
    clip_means = [
        np.mean([frame_dice(_resize(mean_mask, mask.shape) > threshold, mask) for mask in _masks(clip)])
        for clip in test_clips
    ]
    return float(np.mean(clip_means))


def _masks(clip: Mapping[str, Any]) -> Iterator[np.ndarray]:
    return (read_mask(path, getattr(clip, "mask_rule", None)) for path in clip["label"])


def _resize(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _dice_at_every_threshold(mean_mask: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Dice of ``mean_mask > k / 255`` for k = 0 ... 255, from one histogram instead of 256 comparisons."""
    # A value is above k / 255 if and only if its ceiling in steps of 1/255 is above k.
    steps = np.clip(np.ceil(255 * _resize(mean_mask, mask.shape)), 0, 255).astype(np.int64)
    inside = np.bincount(steps[mask], minlength=256)
    everywhere = np.bincount(steps.ravel(), minlength=256)
    overlap, area = inside.sum() - inside.cumsum(), everywhere.sum() - everywhere.cumsum()
    both = area + inside.sum()
    return np.where(both > 0, 2 * overlap / np.maximum(both, 1), 1.0)
