"""Checks of the arguments of inferers and sessions: networks, videos, frame numbers, saved states."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lsinet_monai.data.frames import check_frames
from lsinet_monai.errors import InputError
from lsinet_monai.utils.tensors import describe

__all__ = [
    "as_frame_index",
    "as_mask",
    "check_clips",
    "check_frame_numbers",
    "check_frame_tensors",
    "check_network",
    "check_saved",
    "check_source",
    "clip_key",
    "common_value",
    "read_frame",
]


def check_network(network: Any) -> None:
    """Check that a network can segment videos.

    Raises:
        InputError: it is not an LSINet; its weights are of several types; or it is in training mode, in which its masks
            would depend on chance and on the other frames of the batch.
    """
    if not (hasattr(network, "encode") and hasattr(network, "decode")):
        raise InputError(
            f"the network must be an LSINet, got {describe(network)}; if it wraps one for several GPUs, give .module"
        )
    if any(part.training for part in network.modules()):
        raise InputError(
            "the network, or a part of it, is in training mode: call network.eval() first. To train, call the network "
            "itself, or use TrainingInferer"
        )
    if len(types := {weight.dtype for weight in network.parameters() if weight.is_floating_point()}) > 1:
        names = ", ".join(sorted(map(str, types)))
        raise InputError(
            f"the network has weights of several types ({names}): convert all of it, as network.float() does"
        )


def check_clips(clips: Any) -> None:
    """Check that clips are one tensor (B, 3, T, H, W) that is not empty.

    Raises:
        InputError: they are not.
    """
    if not isinstance(clips, Tensor):
        raise InputError(f"clips must be one tensor (B, 3, T, H, W), got {describe(clips)}: stack clips of one length")
    if clips.ndim != 5 or clips.shape[1] != 3 or 0 in clips.shape:
        raise InputError(f"clips (B, 3, T, H, W) with at least one frame are needed, got {tuple(clips.shape)}")


def common_value(value: Any, name: str) -> Any:
    """Return the value that all rows of a batch share.

    Args:
        value: one for all rows, or a sequence or tensor with one for each.
        name: what it is, for the error.

    Raises:
        InputError: the rows differ, or it is None.
    """
    values = set(
        value.flatten().tolist() if isinstance(value, Tensor) else value if isinstance(value, Sequence) else [value]
    )
    if len(values) != 1 or None in values:
        if values <= {None}:
            raise InputError(f"{name} is missing: each piece of a clip needs clip_id, frame_index and is_last")
        raise InputError(f"all clips of a batch need the same {name}, got {value}")
    return values.pop()


def check_frame_tensors(frames: Sequence[Any], shape: Sequence[int] | None = None, first: int = 0) -> None:
    """Check that frames are tensors of one shape.

    Args:
        frames: each (B, 3, H, W).
        shape: the shape that they need; that of the first of them if not given.
        first: the index of the first frame, for the error.

    Raises:
        InputError: there are none, or one is not a tensor, or has another shape.
    """
    if not frames:
        raise InputError("no frames were given: give one (B, 3, H, W) or more")
    for index, frame in enumerate(frames, first):
        if not isinstance(frame, Tensor):
            raise InputError(f"frame {index} must be a tensor (B, 3, H, W), got {describe(frame)}")
        shape = tuple(frame.shape if shape is None else shape)
        if tuple(frame.shape) != shape:
            raise InputError(
                f"frame {index} has the shape {tuple(frame.shape)}, and the frames before it {shape}: resize all "
                "frames of a clip to one size, and begin another clip with a new state"
            )


def check_source(source: Any) -> None:
    """Check that a video has frames by index.

    Raises:
        InputError: it is a path, it lacks a length or an index, or it has no frames.
    """
    if isinstance(source, str | os.PathLike):
        raise InputError(f"source={str(source)!r} is a path: open it with lsinet_monai.data.open_video")
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
        raise InputError(
            f"the source must have a length and frames by index, got {describe(source)}: give a list of frames, an "
            "array (T, H, W, 3), or a video from lsinet_monai.data.open_video"
        )
    if len(source) == 0:
        raise InputError("the source has no frames: give a video with one or more")


def as_frame_index(frame: Any) -> int:
    """Read a frame's number.

    Raises:
        InputError: it is not a whole number.
    """
    try:
        return operator.index(frame)
    except TypeError as error:
        raise InputError(f"frame {frame!r} is not a whole number: frames are numbered from 0") from error


def check_frame_numbers(source: Any, *frames: int) -> None:
    """Check that frames of a video exist.

    Raises:
        InputError: one of them does not.
    """
    for frame in frames:
        if not 0 <= frame < len(source):
            raise InputError(f"there is no frame {frame}: the video has the frames 0 to {len(source) - 1}")


def read_frame(source: Any, frame: int) -> np.ndarray:
    """Read a frame of a video, uint8, (H, W, 3).

    Raises:
        InputError: the frame does not exist, is damaged, or is not a picture.
    """
    check_frame_numbers(source, frame)
    pixels = source[frame]
    check_frames([pixels])
    return pixels


def as_mask(mask: Any, size: tuple[int, ...], frame: int) -> np.ndarray:
    """Read a person's mask of a frame.

    Args:
        mask: an array or tensor, (H, W) or (1, H, W), bool or integer; nonzero pixels are polyp.
        size: the frame's height and width.
        frame: its index, for the error.

    Returns:
        the mask, bool, (H, W).

    Raises:
        InputError: the mask has another size or a float type.
    """
    if isinstance(mask, Tensor):
        mask = (mask.float() if mask.is_floating_point() else mask).cpu().numpy()  # NumPy has no bfloat16.
    values = np.asarray(mask)
    if values.dtype.kind not in "biu":
        raise InputError(f"the mask of frame {frame} is of {values.dtype}: give bool or whole numbers, 0 for none")
    if values.shape not in (size, (1, *size)):
        raise InputError(
            f"the mask of frame {frame} has the size {values.shape}, and the frame {size}: give a mask of its size"
        )
    return (values != 0).reshape(size)


def check_saved(state: Any, keys: Sequence[str], name: str) -> None:
    """Check that a saved state has its keys.

    Args:
        state: what was loaded.
        keys: the keys that it needs.
        name: what it should be a state of, for the error.

    Raises:
        InputError: it is not a mapping, or lacks some of them.
    """
    missing = [key for key in keys if not isinstance(state, Mapping) or key not in state]
    if missing:
        raise InputError(f"this is not the saved state of {name}: it lacks {', '.join(missing)}")


def clip_key(clip_id: str | Sequence[str]) -> tuple[str, ...]:
    """The key of the state of a clip, or of the clips of a batch.

    Raises:
        InputError: it is neither a name nor several.
    """
    if not isinstance(clip_id, str | Sequence) or not all(isinstance(name, str) for name in clip_id):
        raise InputError(f"clip_id={clip_id!r} is not the name of a clip: give a text, or a list of them for a batch")
    return (clip_id,) if isinstance(clip_id, str) else tuple(clip_id)
