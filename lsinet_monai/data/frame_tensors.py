"""Frames as the network takes them: resized, normalised tensors, made on the device that will use them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from monai.utils import ensure_tuple_rep
from torch import Tensor

from lsinet_monai.data.frames import check_frames, resize_frame

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "frames_to_tensor", "resize_on_device", "tensor_to_frame"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue, in [0, 1]; the encoder was trained on pixels less this mean."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue, in [0, 1]."""

_WEIGHT_BITS = 22  # Pillow's weights are multiples of 2**-22


def frames_to_tensor(
    frames: Sequence[np.ndarray], image_size: int | Sequence[int], device: torch.device | str = "cpu"
) -> Tensor:
    """Resize frames to the network's input size, and normalise them with ImageNet's mean and standard deviation.

    The constants are fixed, so the result for a frame does not depend on the other frames.

    Frames are resized by :func:`~lsinet_monai.data.resize_frame`. For a GPU with CUDA they are uploaded as they are,
    without waiting for work that is under way there, and resized there by :func:`resize_on_device`.

    Args:
        frames: T frames, uint8, (H, W, 3), RGB; their sizes may differ.
        image_size: side, or height and width, of the result in pixels.
        device: the result's device.

    Returns:
        float32, (3, T, height, width): pixels in [0, 1], less ImageNet's mean, over its standard deviation.

    Raises:
        InputError: there are no frames, or one is not such an array.
    """
    check_frames(frames)
    height, width = ensure_tuple_rep(image_size, 2)
    device = torch.device(device)
    if device.type == "cuda":
        clip = _resize_all_on_device(frames, (height, width), device)
    else:
        pixels = torch.from_numpy(np.stack([resize_frame(frame, (height, width)) for frame in frames]))
        clip = pixels.permute(3, 0, 1, 2).to(device, torch.float32, memory_format=torch.contiguous_format)
    mean, std = _mean_and_std(clip.device)
    return clip.div_(255).sub_(mean).div_(std)


@cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """ImageNet's constants, (3, 1, 1, 1). They are kept, because a new upload would wait for the device."""
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std


def _resize_all_on_device(frames: Sequence[np.ndarray], size: tuple[int, int], device: torch.device) -> Tensor:
    resized = []
    for frame in frames:
        # Copies from pinned memory do not wait for the GPU. PyTorch keeps the memory for the next frames.
        pinned = torch.empty(frame.shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
        np.copyto(pinned.numpy(), frame)
        resized.append(resize_on_device(pinned.to(device, non_blocking=True), size))
    return torch.stack(resized, 1).contiguous()


def resize_on_device(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a frame where it is, as :func:`~lsinet_monai.data.resize_frame` does on the CPU.

    This computes as Pillow does: the width first, in whole numbers, rounded after each step. So the numbers are the
    same. Where the height shrinks most, as of upright videos, Pillow 13 begins with it, and a seventh of the values
    differs by 1. ``F.interpolate`` with ``antialias`` has no kernel for whole numbers on a GPU. With it a hundredth of
    the values of a frame of 640x480 differs, and the outlines of masks move.

    Args:
        frame: uint8, (H, W, 3).
        size: height and width of the result in pixels.

    Returns:
        float32, (3, height, width): whole numbers from 0 to 255.
    """
    pixels = frame.permute(2, 0, 1)
    for side in (size[1], size[0]):  # The second turn is back to (3, height, width).
        taps, weights = _taps(pixels.shape[2], side, frame.device)
        sums = (pixels[..., taps] * weights).sum(3, dtype=torch.int32)
        pixels = (sums + 2 ** (_WEIGHT_BITS - 1) >> _WEIGHT_BITS).to(torch.uint8).transpose(1, 2)
    return pixels.float()


@lru_cache(16)
def _taps(length: int, new_length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which pixels of a row each pixel of the resized row is made of, and their weights, both (new_length, taps).

    A triangle around the new pixel's centre, as wide as two new pixels, or two old ones if it is enlarged.
    """
    scale = length / new_length
    support = max(scale, 1.0)
    centres = (np.arange(new_length) + 0.5)[:, None] * scale
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + support + 0.5).astype(np.int64), length)
    taps = first + np.arange((end - first).max())
    triangle = np.maximum(1 - np.abs((taps - centres + 0.5) * (1 / support)), 0) * (taps < end)
    # Added one by one: another order could round to another weight.
    weights = np.floor(triangle / triangle.cumsum(1)[:, -1:] * 2**_WEIGHT_BITS + 0.5).astype(np.int32)
    places = torch.from_numpy(np.minimum(taps, length - 1))
    return places.to(device), torch.from_numpy(weights).to(device)


def tensor_to_frame(frame: Tensor) -> np.ndarray:
    """Undo the normalisation of :func:`frames_to_tensor`.

    Args:
        frame: one normalised frame, (3, H, W).

    Returns:
        uint8, (H, W, 3), RGB; values outside [0, 255] are clipped.
    """
    pixels = frame.detach().cpu().float().movedim(0, -1).numpy()
    scaled = pixels * np.array(IMAGENET_STD, np.float32) + np.array(IMAGENET_MEAN, np.float32)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
