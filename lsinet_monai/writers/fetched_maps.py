"""A frame's map for its files: measured and thresholded where it is, and brought to the CPU without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.masks.map_numbers import MapNumbers, map_numbers, map_numbers_on_device

__all__ = ["FrameMap", "fetch_map", "measure_map"]


class FrameMap(NamedTuple):
    """A frame's map in the memory of the CPU: its numbers and its pictures."""

    numbers: MapNumbers
    mask: np.ndarray
    """uint8, (H, W): 255 where the probability is above the threshold, else 0."""
    levels: np.ndarray | None
    """uint8, (H, W): the probability times 255, rounded; None if it is not needed."""
    probability: np.ndarray | None
    """float32, (H, W); None if it is not needed."""


def fetch_map(
    probability: Tensor, threshold: float, needs_levels: bool = True, needs_probability: bool = True
) -> Callable[[], FrameMap]:
    """Start to bring a frame's map to the CPU.

    A map on a GPU with CUDA is measured and thresholded there, and what is needed of it is copied to pinned memory,
    after the work that is under way. The mask comes with a bit per pixel; the probability times 255 has a byte, and the
    probability itself has four.

    Args:
        probability: the probability of a polyp, float32, (H, W), in [0, 1], on any device.
        threshold: a pixel belongs to the mask if its probability is above this.
        needs_levels: whether the map is written as a picture.
        needs_probability: whether the probability itself is needed, as for an overlay.

    Returns:
        A function that waits for the map and returns it.
    """
    if probability.is_cuda:
        return _Copies(probability, threshold, needs_levels, needs_probability).wait
    return lambda: measure_map(probability.cpu().numpy(), threshold, needs_levels)


def measure_map(probability: np.ndarray, threshold: float, needs_levels: bool = True) -> FrameMap:
    """Measure and threshold a frame's map on the CPU: see :func:`fetch_map`."""
    mask = probability > threshold
    numbers = map_numbers(probability, mask)
    levels = None
    if needs_levels and numbers.are_probabilities:
        levels = np.rint(255 * probability).astype(np.uint8)
    return FrameMap(numbers, mask.astype(np.uint8) * 255, levels, probability)


class _Copies:
    """The parts of a map on their way from its device."""

    def __init__(self, probability: Tensor, threshold: float, needs_levels: bool, needs_probability: bool) -> None:
        mask = probability > threshold
        parts = {"numbers": map_numbers_on_device(probability, mask), "mask": _pack_bits(mask)}
        self._shape = mask.shape
        if needs_levels:
            parts["levels"] = (255 * probability).round().to(torch.uint8)
        if needs_probability:
            parts["probability"] = probability
        # From a GPU these are copies to pinned memory, which PyTorch keeps for the next frames.
        self._parts = {name: part.to("cpu", non_blocking=True) for name, part in parts.items()}
        self._done: torch.cuda.Event | None = None
        if probability.is_cuda:
            self._done = torch.cuda.Event()
            self._done.record(torch.cuda.current_stream(probability.device))

    def wait(self) -> FrameMap:
        if self._done is not None:
            self._done.synchronize()
        arrays = {name: part.numpy() for name, part in self._parts.items()}
        numbers = MapNumbers(*arrays.pop("numbers").tolist())
        mask = np.unpackbits(arrays["mask"], count=self._shape.numel()).reshape(self._shape) * np.uint8(255)
        return FrameMap(numbers, mask, arrays.get("levels"), arrays.get("probability"))


def _pack_bits(mask: Tensor) -> Tensor:
    """Pack a mask, bool, as ``np.packbits`` does, on its device: uint8, (N,)."""
    bits = F.pad(mask.flatten().to(torch.uint8), (0, -mask.numel() % 8)).view(-1, 8)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=mask.device)
    return (bits << shifts).sum(1, dtype=torch.uint8)
