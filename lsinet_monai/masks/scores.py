"""Numbers of one frame's map and mask, and a clip's polyp intervals: for summaries, ranking and evaluation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from lsinet_monai.errors import InputError

__all__ = ["frame_score", "has_polyp", "polyp_intervals", "uncertainty"]

UNCERTAIN = (0.05, 0.95)


def frame_score(probability: torch.Tensor | np.ndarray) -> float:
    """Rate how likely a frame shows a polyp: the highest probability after a 5x5 mean filter.

    The filter keeps a single bright pixel from deciding. At the border the mean is over the pixels inside the frame.

    Args:
        probability: one frame's map, (H, W), in [0, 1].

    Returns:
        The score, in [0, 1].
    """
    values = _as_array(probability)
    height, width = values.shape
    row, column = divmod(int(values.argmax()), width)
    mean_at_peak = _highest_mean(values, (row, row + 1), (column, column + 1))
    # Any 5x5 window with a higher mean holds a pixel above this one, so only windows around such pixels are filtered:
    # forty times faster than pooling the whole frame.
    candidates = values > mean_at_peak
    rows, columns = np.flatnonzero(candidates.any(axis=1)), np.flatnonzero(candidates.any(axis=0))
    if not rows.size:
        return mean_at_peak
    return _highest_mean(
        values,
        (max(rows[0] - 2, 0), min(rows[-1] + 3, height)),
        (max(columns[0] - 2, 0), min(columns[-1] + 3, width)),
    )


def _as_array(probability: torch.Tensor | np.ndarray) -> np.ndarray:
    # On a CPU, NumPy scans and indexes a map several times faster than PyTorch.
    array: np.ndarray = torch.as_tensor(probability, dtype=torch.float32).cpu().numpy()
    return array


def _highest_mean(values: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> float:
    """The highest 5x5 mean centred in a rectangle of pixels, given by half-open ranges of rows and columns."""
    means = values
    for start, stop in (rows, columns):
        size = len(means)
        first, last = max(start - 2, 0), min(stop + 2, size)
        near = np.pad(means[first:last], ((first - start + 2, stop + 2 - last), (0, 0)))
        sums = sum(near[shift : shift + stop - start] for shift in range(5))
        places = np.arange(start, stop)
        inside = np.minimum(places + 2, size - 1) - np.maximum(places - 2, 0) + 1
        means = (sums / inside[:, None].astype(np.float32)).T  # transposed: the next pass filters the columns
    return float(means.max())


def uncertainty(probability: torch.Tensor | np.ndarray) -> float:
    """Measure how undecided a frame's map is: the mean binary entropy over the pixels that are not sure.

    Only probabilities in [0.05, 0.95] count; otherwise the large, sure background would hide a doubtful polyp.

    Args:
        probability: one frame's map, (H, W), in [0, 1].

    Returns:
        Bits per pixel, in [0, 1]; 0 if every pixel is sure.

    Raises:
        InputError: the map contains NaN, which would otherwise count as sure.
    """
    values = _as_array(probability)
    if np.isnan(values).any():
        raise InputError("the probability map contains NaN: check the logits that it was made from")
    p = values[(values >= UNCERTAIN[0]) & (values <= UNCERTAIN[1])]
    if not p.size:
        return 0.0
    return float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(dtype=np.float64))


def has_polyp(mask: torch.Tensor | np.ndarray, min_area: float = 0.001) -> bool:
    """Decide whether a frame shows a polyp: its mask covers more than ``min_area`` of the frame.

    Args:
        mask: one frame's mask, bool, (H, W).
        min_area: the fraction of the frame that the mask must exceed, in [0, 1].
    """
    pixels = torch.as_tensor(mask, dtype=torch.bool)
    return int(pixels.count_nonzero()) > min_area * pixels.numel()


def polyp_intervals(flags: Iterable[bool], max_gap: int = 3) -> list[tuple[int, int]]:
    """Find the intervals in which a clip shows a polyp: runs of frames that have one, with short gaps bridged.

    Args:
        flags: for every frame of a clip, in order, whether it has a polyp (see :func:`has_polyp`).
        max_gap: the longest gap, in frames without a polyp, that is bridged.

    Returns:
        The first and the last frame of each interval, both inclusive and counted from 0.
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
