"""Where a person should look first: frames and videos whose masks are uncertain or change back and forth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["frame_doubts", "mask_change", "temporal_disagreement", "video_doubt"]

_TOP_FRACTION = 0.1


def mask_change(before: np.ndarray, after: np.ndarray) -> float:
    """Measure how much a mask changed: 1 - IoU, in [0, 1]; 0 if both masks are empty.

    Args:
        before: bool, (H, W).
        after: bool, (H, W).
    """
    union = np.count_nonzero(before | after)
    return 1 - np.count_nonzero(before & after) / union if union else 0.0


def temporal_disagreement(changes: Sequence[float | None]) -> list[float | None]:
    """Measure how much each frame's mask differs from both neighbours: the smaller of the changes to and from it.

    A polyp that enters or leaves the view changes the mask once; a flickering mask changes it twice. The smaller
    change is large for the flicker alone.

    Args:
        changes: for each frame of a video, :func:`mask_change` from the previous frame; None if unknown, as for the
            first frame.

    Returns:
        For each frame a number in [0, 1], or None if both changes are unknown.
    """
    following = [*changes, None][1:]
    known = ([x for x in pair if x is not None] for pair in zip(changes, following, strict=True))
    return [min(pair, default=None) for pair in known]


def frame_doubts(uncertainties: Sequence[float | None], disagreements: Sequence[float | None]) -> list[float | None]:
    """Combine two reasons to look at a frame: the mean of its uncertainty and its disagreement, in [0, 1].

    Args:
        uncertainties: for each frame :func:`lsinet_monai.masks.uncertainty`, or None.
        disagreements: for each frame :func:`temporal_disagreement`, or None, which counts as 0.

    Returns:
        For each frame the doubt, or None if its uncertainty is unknown.
    """
    pairs = zip(uncertainties, disagreements, strict=True)
    return [None if bits is None else (bits + (change or 0.0)) / 2 for bits, change in pairs]


def video_doubt(doubts: Iterable[float | None]) -> float | None:
    """Rate how much a video needs a look: the mean over its most doubtful tenth.

    A mean over all frames would hide one bad stretch of a long video among its easy frames.

    Args:
        doubts: for each frame a number in [0, 1], or None for a frame to leave out.

    Returns:
        A number in [0, 1], or None if every frame is left out.
    """
    known = sorted((doubt for doubt in doubts if doubt is not None), reverse=True)
    highest = known[: max(1, round(_TOP_FRACTION * len(known)))]
    return sum(highest) / len(highest) if highest else None
