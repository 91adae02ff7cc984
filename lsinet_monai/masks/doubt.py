"""Where a person should look first: frames, and videos, whose masks are undecided or do not agree over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["frame_doubts", "mask_change", "temporal_disagreement", "video_doubt"]

_SHARE = 0.1


def mask_change(before: np.ndarray, after: np.ndarray) -> float:
    """How much a mask changed: 1 - IoU, in [0, 1]; 0 where both are empty.

    Args:
        before: bool, (H, W).
        after: bool, (H, W).
    """
    union = np.count_nonzero(before | after)
    return 1 - np.count_nonzero(before & after) / union if union else 0.0


def temporal_disagreement(changes: Sequence[float | None]) -> list[float | None]:
    """How little each frame agrees with its neighbours: the smaller of the changes towards it and away from it.

    The smaller one, since a polyp that comes into view or leaves it changes the mask once; a mask that flickers
    changes it twice.

    Args:
        changes: for each frame of a video, :func:`mask_change` from the frame before it; None where it is not known, as
            for the first frame.

    Returns:
        For each frame a number in [0, 1], or None where neither change is known.
    """
    following = [*changes, None][1:]
    known = ([x for x in pair if x is not None] for pair in zip(changes, following, strict=True))
    return [min(pair, default=None) for pair in known]


def frame_doubts(uncertainties: Sequence[float | None], disagreements: Sequence[float | None]) -> list[float | None]:
    """Join what speaks for looking at a frame: the mean of its uncertainty and its disagreement, in [0, 1].

    Args:
        uncertainties: for each frame :func:`lsinet_monai.masks.uncertainty`, or None.
        disagreements: for each frame :func:`temporal_disagreement`, or None, which counts as 0.

    Returns:
        For each frame the doubt, or None where its uncertainty is not known.
    """
    pairs = zip(uncertainties, disagreements, strict=True)
    return [None if bits is None else (bits + (change or 0.0)) / 2 for bits, change in pairs]


def video_doubt(doubts: Iterable[float | None]) -> float | None:
    """How much a video is worth a look: the mean over its most doubtful tenth.

    A tenth, so that one bad stretch of a long video counts as much as the same share of a short one, and is not lost
    among frames that are easy.

    Args:
        doubts: for each frame a number in [0, 1], or None where it does not count.

    Returns:
        A number in [0, 1], or None if no frame counts.
    """
    known = sorted((doubt for doubt in doubts if doubt is not None), reverse=True)
    highest = known[: max(1, round(_SHARE * len(known)))]
    return sum(highest) / len(highest) if highest else None
