"""Checks of the frames and masks that people give to the network."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.utils.tensors import describe, value_range

__all__ = ["MIN_SIZE", "check_fixed_size", "check_frame_values", "check_frames", "check_sample"]

MIN_SIZE = 64
"""The smallest height and width of a frame."""

# Frames that are normalised with ImageNet's mean and standard deviation lie in [-2.2, 2.7].
_TOO_BRIGHT = 20

_HOW_TO_NORMALISE = (
    "normalise them as lsinet_monai.data.frames_to_tensor does with uint8 frames: scale them to [0, 1], subtract "
    "ImageNet's mean, and divide by its standard deviation"
)


def check_frames(frames: Any, device: torch.device) -> None:
    """Check the type, shape and device of frames.

    Args:
        frames: what should be a floating-point tensor (B, 3, H, W), B of 1 or more, H and W of 64 or more.
        device: the network's device.

    Raises:
        InputError: it is not.
    """
    if not isinstance(frames, Tensor):
        raise InputError(f"frames must be a tensor (B, 3, H, W), got {describe(frames)}")
    if frames.ndim != 4 or frames.shape[1] != 3 or min(frames.shape[-2:]) < MIN_SIZE or frames.shape[0] == 0:
        raise InputError(
            f"frames (B, 3, H, W) with B of 1 or more, and H and W of {MIN_SIZE} or more are needed, got "
            f"{tuple(frames.shape)}"
        )
    if not frames.is_floating_point():
        raise InputError(f"frames must be floating-point numbers, got {describe(frames)}: {_HOW_TO_NORMALISE}")
    if frames.device != device:
        raise InputError(f"the frames are on {frames.device}, and the network is on {device}: move one to the other")


def check_fixed_size(frames: Tensor, fixed_size: tuple[int, int] | None, backbone: str) -> None:
    """Check that frames have the only size that their backbone takes, if there is only one.

    Args:
        frames: (B, 3, H, W).
        fixed_size: height and width; None if any size is fine.
        backbone: its name.

    Raises:
        InputError: they have another size.
    """
    size = tuple(frames.shape[-2:])
    if fixed_size not in (None, size):
        raise InputError(
            f"backbone={backbone!r} takes frames of {fixed_size} only, got {size}: set image_size to that, or choose "
            "another backbone"
        )


def check_frame_values(frames: Tensor, are_checked: bool) -> bool:
    """Refuse frames with values from 0 to 255, and warn of frames that are only scaled to [0, 1].

    On a CPU every call refuses. On a GPU calls look until ``are_checked`` is true, because reading values waits for it.
    The warning comes once.

    Args:
        frames: as :func:`check_frames` has passed them.
        are_checked: the result of the last call.

    Returns:
        whether it is known what frames come: some with negative values, which are normalised, or some that were warned
        of.

    Raises:
        InputError: the frames have values far above those of normalised frames.
    """
    values = value_range(frames) if not are_checked or frames.is_cpu else None
    if values is None:
        return are_checked
    low, high = values
    if high > _TOO_BRIGHT:
        raise InputError(f"the frames have values from {low:g} to {high:g}: {_HOW_TO_NORMALISE}")
    is_in_question = not are_checked and low >= 0 and 0 < high <= 1
    if is_in_question:
        warnings.warn(
            f"the frames' values all lie in [0, 1], so the masks may be wrong: {_HOW_TO_NORMALISE}", stacklevel=5
        )
    return are_checked or low < 0 or is_in_question


def check_sample(current: Any, adjacent: Tensor | None, memory: Tensor | None, mask: Tensor | None) -> None:
    """Check that the frames of a training step have one shape, and that the mask fits them and lies in [0, 1].

    Args:
        current: (B, 3, H, W).
        adjacent: as ``current``, or None.
        memory: as ``current``, or None.
        mask: (B, 1, H, W), or None.

    Raises:
        InputError: a shape or a value does not fit.
    """
    if not isinstance(current, Tensor):
        raise InputError(f"frames must be a tensor (B, 3, H, W), got {describe(current)}")
    for name, frames in (("adjacent", adjacent), ("memory", memory)):
        if frames is not None and frames.shape != current.shape:
            raise InputError(
                f"{name} frames must have the shape of the current ones, {tuple(current.shape)}, got "
                f"{tuple(frames.shape)}"
            )
    if mask is None:
        return
    expected = (current.shape[0], 1, *current.shape[2:])
    if tuple(mask.shape) != expected:
        raise InputError(f"memory_mask must have the shape {expected}, a mask for each frame, got {tuple(mask.shape)}")
    # Reading the values would wait for a GPU. There only the loss checks masks, which come from the same data set.
    values = value_range(mask) if mask.is_cpu else None
    if values is not None and not (values[0] >= -1e-3 and values[1] <= 1 + 1e-3):
        raise InputError(
            f"memory_mask has values from {values[0]:g} to {values[1]:g}, and must lie in [0, 1]: divide masks of 0 "
            "and 255 by 255"
        )
