"""Where a person should look first: frames and videos whose masks are uncertain or change back and forth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.masks.scores import frame_score

__all__ = [
    "doubtful_places",
    "expected_error",
    "fault_doubts",
    "frame_doubts",
    "mask_change",
    "temporal_disagreement",
    "video_doubt",
]

_TOP_FRACTION = 0.1
_GAP_SECONDS = 1.0
_PLACE_SECONDS = 0.5  # on either side
_SAME_SUM = 1e-9


def expected_error(probability: np.ndarray, mask: np.ndarray) -> float:
    """Estimate 1 - Dice of a frame's mask by its own map.

    If each pixel is polyp with its probability, the mask M and the truth share the sum of p over M pixels on average,
    and the truth has the sum of p over the whole frame: Dice is about 2 sum(p in M) / (sum(p) + |M|). An empty mask is
    wrong if there is a polyp, so its error is the frame's score.

    Args:
        probability: one frame's map, float, (H, W), in [0, 1].
        mask: the frame's mask, bool, (H, W).

    Returns:
        The expected error, in [0, 1].

    Raises:
        InputError: the map contains NaN.
    """
    total = float(probability.sum(dtype=np.float64))
    if np.isnan(total):
        raise InputError("the probability map contains NaN: check the logits that it was made from")
    area = np.count_nonzero(mask)
    if not area:
        return frame_score(probability)
    inside = float(probability[mask].sum(dtype=np.float64))
    return min(max(1 - 2 * inside / (total + area), 0.0), 1.0)


def fault_doubts(
    errors: Sequence[float | None], has_polyp: Sequence[bool | None], fps: float = 25.0
) -> list[float | None]:
    """Rate how likely each frame's mask is wrong: its expected error, and more in a gap of the polyp's track.

    A frame without a polyp between frames with one, at most a second before and a second after, is in a gap. Either the
    network lost the polyp or the camera looked away, which only a person can tell. So a gap halves the distance between
    the expected error and 1.

    Args:
        errors: for each frame :func:`expected_error`, or None.
        has_polyp: for each frame :func:`lsinet_monai.masks.has_polyp`, or None if it is unknown.
        fps: frames per second.

    Returns:
        For each frame the doubt, in [0, 1], or None if its expected error is unknown.
    """
    reach = max(1, round(_GAP_SECONDS * fps))
    before = _frames_since(has_polyp)
    after = _frames_since(has_polyp[::-1])[::-1]
    in_gap = [flag is False and max(pair) <= reach for flag, *pair in zip(has_polyp, before, after, strict=True)]
    return [
        (1 + error) / 2 if error is not None and is_gap else error for error, is_gap in zip(errors, in_gap, strict=True)
    ]


def _frames_since(flags: Sequence[bool | None]) -> list[float]:
    """For each frame, the distance in frames to the last one that has a polyp; infinite if none has yet."""
    distances: list[float] = []
    distance = float("inf")
    for flag in flags:
        distance = 0 if flag else distance + 1
        distances.append(distance)
    return distances


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

    :func:`fault_doubts` finds more of the wrong masks. This is for frames whose expected error was not kept.

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


def doubtful_places(
    doubts: Sequence[float | None],
    fps: float = 25.0,
    left_out: Collection[int] = (),
    seen: Collection[int] = (),
) -> Iterator[tuple[int, float]]:
    """Find where a person should look, the most doubtful place first.

    A place is a frame and what lies within half a second of it, which a person sees at a glance. The first place is the
    one whose doubts have the largest sum; the next has the largest sum of what no place before it has, and its frame
    lies in none of them.

    Args:
        doubts: for each frame a number in [0, 1], or None for a frame to leave out.
        fps: frames per second.
        left_out: more frames to leave out, such as blurred ones.
        seen: frames at which a person has looked: they are left out with all within half a second of them.

    Yields:
        The frame in the middle of each place, and the mean of what is left of its doubts, in [0, 1]; places
        without any doubt do not come.
    """
    reach = max(1, round(_PLACE_SECONDS * fps))
    left = np.array([0.0 if doubt is None else doubt for doubt in doubts], np.float64)
    is_free = np.array([doubt is not None for doubt in doubts], bool)
    is_free[list(left_out)] = False
    for frame in seen:
        is_free[max(0, frame - reach) : frame + reach + 1] = False
    left[~is_free] = 0
    while left.any():
        upto = np.cumsum(np.pad(left, (reach + 1, reach)))
        sums = np.where(is_free, upto[2 * reach + 1 :] - upto[: len(left)], -1)
        # A lone doubtful frame is in the middle of its place.
        frame = int(np.argmax(np.where(sums >= sums.max() - _SAME_SUM, left, -1)))
        place = slice(max(0, frame - reach), min(len(left), frame + reach + 1))
        yield frame, float(sums[frame]) / (place.stop - place.start)
        left[place], is_free[place] = 0, False
