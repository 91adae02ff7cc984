"""Cuts: where a video changes to another scene, so that frames before are no help for those after.

Two frames show one scene if most positions of the later one have a similar position nearby in the earlier one, or if
most of them come back when they are matched there and back, by the encoder's features at stride 16. What comes
between camera and mucosa for a while (glare, water, smoke, blur) changes the pixels more than these features.
``docs/experiments.md`` has the rates on cuts and on frames of one scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.bad_frames import are_finite
from lsinet_monai.inferers.clarity import clarity_at
from lsinet_monai.inferers.matching import Match, share_that_comes_back
from lsinet_monai.networks import Features

__all__ = ["find_cuts", "follow_scene", "is_cut", "likeness_of_places", "scene_likeness"]

# Between two frames of one scene the likeness is at least this, or at least so large a share of the later one comes
# back from places up to four cells away. On a coarse grid, frames of one scene may look less alike.
_ALIKE = 0.7
_COME_BACK, _SEARCH = 0.7, 4.0

# What comes between camera and mucosa for a while lowers the spread of the features by a fifth or more, and leaves a
# likeness of at least this. Of the cuts between sequences of ClinicDB's training set, and between stills, few do both.
_LESS_CLEAR, _STILL_ALIKE = 0.22, 0.46
MOST_PASSED = 25
"""So many frames in a row, a second, may be passed over because they are less clear; those after them count."""

# A place moves by at most so many cells from one frame to the next: 32 pixels of the network's frame.
_WINDOW = 2


def scene_likeness(earlier: Tensor, later: Tensor) -> Tensor:
    """How much two frames look like one scene: the mean of :func:`likeness_of_places`, (B,), up to 1."""
    return likeness_of_places(earlier, later).mean((1, 2))


def likeness_of_places(earlier: Tensor, later: Tensor) -> Tensor:
    """How much each place of a frame looks like one nearby in another frame.

    Each position of the later frame is compared with those of the earlier frame up to two cells away. The result is the
    highest cosine. The mean over a frame is removed from its features first, because all mucosa has it in common.

    Args:
        earlier: (B, C, h, w), features at stride 16.
        later: (B, C, h, w), of a frame after it, or before.

    Returns:
        (B, h, w), up to 1.
    """
    first, second = (F.normalize(x - x.mean((2, 3), keepdim=True), dim=1) for x in (earlier.float(), later.float()))
    side = 2 * _WINDOW + 1
    nearby = F.unfold(first, side, padding=_WINDOW).unflatten(1, (first.shape[1], side * side))
    return (nearby * second.flatten(2).unsqueeze(2)).sum(1).amax(1).unflatten(1, later.shape[-2:])


def is_cut(earlier: Features, later: Features) -> bool:
    """Whether there is a cut between two frames, each a batch of one. On a GPU this waits for them."""
    return bool(_are_cuts(earlier.features[1], later.features[1]).item())


def _are_cuts(earlier: Tensor, later: Tensor) -> Tensor:
    """Whether there is a cut between frames, (B,), bool; never if the earlier one's features are NaN."""
    pairs = zip(earlier.split(1), later.split(1), strict=True)
    shares = [share_that_comes_back(a, b, Match.identity(a), _SEARCH) for a, b in pairs]
    return (scene_likeness(earlier, later) < _ALIKE) & (torch.stack(shares) < _COME_BACK)


class SeenFrame(NamedTuple):
    """What the next frame of a clip is compared with."""

    features: Tensor
    """(1, C, h, w), at stride 16: of the last frame that shows something; NaN at a clip's start."""
    passed: Tensor
    """(1,), float32: how many frames after it were passed over because they are much less clear."""


def shows_less(seen: Tensor, current: Tensor) -> Tensor:
    """Whether a frame may be a much less clear one of the same scene, by features at stride 16: (B,), bool."""
    is_unclear = clarity_at(current) < clarity_at(seen) - _LESS_CLEAR
    return is_unclear & (scene_likeness(seen, current) >= _STILL_ALIKE)


def follow_scene(seen: SeenFrame, features: Sequence[Tensor], usable: Sequence[Tensor]) -> list[Tensor]:
    """Compare each frame of a clip with the one before it: see :func:`find_cuts`. On a GPU this does not wait.

    Args:
        seen: what the first frame is compared with.
        features: of consecutive frames, each (1, C, h, w), at stride 16.
        usable: for each frame whether it shows something, (1,), bool.

    Returns:
        whether each frame begins another scene, (T,), bool; then for each frame the features and the count of what
        :func:`find_cuts` passes on.
    """
    cuts: list[Tensor] = []
    states: list[Tensor] = []
    for current, is_usable in zip(features, usable, strict=True):
        shows = is_usable & are_finite([current])
        is_passed = shows & shows_less(seen.features, current) & (seen.passed < MOST_PASSED)
        counts = shows & ~is_passed
        # A comparison with NaN, of a clip that has shown nothing yet, is never a cut.
        cuts.append(counts & _are_cuts(seen.features, current))
        chosen = torch.where(counts[:, None, None, None], current, seen.features)
        seen = SeenFrame(chosen, torch.where(counts, 0, seen.passed + is_passed))
        states += seen
    return [torch.cat(cuts), *states]


def find_cuts(
    seen: SeenFrame | None,
    frames: Sequence[Features],
    usable: Sequence[Tensor],
    follow: Callable[[SeenFrame, Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]] = follow_scene,
) -> tuple[list[bool], list[SeenFrame]]:
    """Find the frames of a clip that begin another scene. On a GPU this waits once for all of them.

    Frames that are not finite or not usable are passed over: the frame after them is compared with the one before. So
    are up to :data:`MOST_PASSED` frames in a row that are much less clear than it and still resemble it: what comes
    between camera and mucosa for a while is no cut. A cut to an unclear scene may be found up to a second late.

    Args:
        seen: the second result for the frame before these; None at a clip's start.
        frames: consecutive frames of one clip, each a batch of one.
        usable: for each frame whether it shows something, (1,), bool.
        follow: what computes :func:`follow_scene`, such as a graph.

    Returns:
        for each frame whether it begins another scene, and what to pass on as ``seen``.
    """
    features = [frame.features[1] for frame in frames]
    if seen is None:
        nothing = torch.full_like(features[0], torch.nan)
        seen = SeenFrame(nothing, torch.zeros_like(nothing[:, 0, 0, 0], dtype=torch.float32))
    cuts, *states = follow(seen, features, usable)
    return cuts.tolist(), [SeenFrame(*pair) for pair in zip(states[::2], states[1::2], strict=True)]
