"""What one frame's probability map and mask say in numbers, for summaries, ranking, labelling and evaluation alike."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["frame_score", "has_polyp", "polyp_intervals", "uncertainty"]

_UNCERTAIN = (0.05, 0.95)


def frame_score(probability: torch.Tensor | np.ndarray) -> float:
    """How strongly a frame speaks for a polyp: the highest probability after a 5x5 mean filter.

    The filter keeps a lone bright pixel from deciding; at the border the mean is over the pixels inside the frame.

    Args:
        probability: one frame's map, (H, W), in [0, 1].

    Returns:
        The score, in [0, 1].
    """
    means = torch.as_tensor(probability, dtype=torch.float32)
    for axis in (0, 1):
        # Columns, then rows, each as a sum of shifted images: on a CPU a sixth of avg_pool2d's time.
        size = means.shape[axis]
        inside = F.pad(torch.ones(size, device=means.device), (2, 2)).unfold(0, 5, 1).sum(1)
        padded = F.pad(means, (0, 0, 2, 2) if axis == 0 else (2, 2))
        sums = torch.stack([padded.narrow(axis, shift, size) for shift in range(5)]).sum(0)
        means = sums / (inside[:, None] if axis == 0 else inside)
    return float(means.amax())


def uncertainty(probability: torch.Tensor | np.ndarray) -> float:
    """How undecided a frame's map is: the mean binary entropy over the pixels that are neither clear yes nor clear no.

    Only probabilities in [0.05, 0.95] count, so that the large sure background does not drown a doubtful polyp.

    Args:
        probability: one frame's map, (H, W), in [0, 1].

    Returns:
        Bits per pixel, in [0, 1]; 0 if every pixel is sure.
    """
    values = torch.as_tensor(probability, dtype=torch.float32)
    is_unsure = (values >= _UNCERTAIN[0]) & (values <= _UNCERTAIN[1])
    count = int(is_unsure.count_nonzero())
    if count == 0:
        return 0.0
    # All pixels are computed and some of them counted, which takes half as long as to pick those first.
    p = values.clamp(*_UNCERTAIN)
    entropy = -(p * p.log2() + (1 - p) * (1 - p).log2())
    return float((entropy * is_unsure).sum()) / count


def has_polyp(mask: torch.Tensor | np.ndarray, min_area: float = 0.001) -> bool:
    """Whether a frame counts as showing a polyp: its mask covers more than ``min_area`` of the frame.

    Args:
        mask: one frame's mask, bool, (H, W).
        min_area: the fraction of the frame, in [0, 1], that must be exceeded.
    """
    pixels = torch.as_tensor(mask, dtype=torch.bool)
    return int(pixels.count_nonzero()) > min_area * pixels.numel()


def polyp_intervals(flags: Iterable[bool], max_gap: int = 3) -> list[tuple[int, int]]:
    """Where a clip shows a polyp: runs of frames that have one, short gaps bridged.

    Args:
        flags: for every frame of a clip, in order, whether it has a polyp (see :func:`has_polyp`).
        max_gap: up to this many frames without a polyp between two runs join them into one.

    Returns:
        The first and the last frame of each interval, both counted from 0 and both inside it.
    """
    intervals: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if not flag:
            continue
        if intervals and index - intervals[-1][1] - 1 <= max_gap:
            intervals[-1] = (intervals[-1][0], index)
        else:
            intervals.append((index, index))
    return intervals
