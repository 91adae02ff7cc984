"""Cuts: where a video changes to another scene, so that frames before are no help for those after.

Two frames show one scene if the positions of the later one look like those nearby in the earlier one, by the encoder's
features at stride 16, more than they do by chance: when the later frame is mirrored or turned. Mucosa looks like mucosa
everywhere, and blur like blur, so a likeness alone says little. What comes between camera and mucosa for a while
(glare, water, smoke, blur) makes frames of one scene less alike, and less clear; so a less clear frame needs less.
``docs/experiments/cuts.md`` has the rates on cuts and on frames of one scene.
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

__all__ = ["find_cuts", "follow_scene", "is_cut", "likeness_of_places", "scene_likeness", "scene_measures"]

# What tells frames of one scene from others: the likeness, that by chance, the share of places that come back from up
# to four cells away, and by how much the later frame is less clear. Fitted as ``python -m experiments.scenes`` does, to
# clips of other seeds.
_BY_CHANCE, _COME_BACK, _EXCUSE = -2.33, 2.09, 0.133
_SAME_SCENE = 0.7
_SEARCH = 4.0
# Whatever the sum, frames that are no more alike than by chance, and of which no more comes back, show two scenes.
_MORE_THAN_CHANCE, _FEW_COME_BACK = 0.02, 0.7

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
        earlier: (B, C, h, w), features at stride 16; a batch of one is compared with each later frame.
        later: (B, C, h, w), of a frame after it, or before.

    Returns:
        (B, h, w), up to 1.
    """
    first, second = (F.normalize(x - x.mean((2, 3), keepdim=True), dim=1) for x in (earlier.float(), later.float()))
    side = 2 * _WINDOW + 1
    nearby = F.unfold(first, side, padding=_WINDOW).unflatten(1, (first.shape[1], side * side))
    return (nearby * second.flatten(2).unsqueeze(2)).sum(1).amax(1).unflatten(1, later.shape[-2:])


def is_other_scene(earlier: Tensor, later: Tensor, less_clear: Tensor) -> Tensor:
    """Whether a frame shows another scene than another frame.

    Args:
        earlier: (1, C, h, w), features at stride 16.
        later: the same of a frame after it, or before.
        less_clear: (1,), by how much the later one is less clear at stride 32, see
            :func:`~lsinet_monai.inferers.clarity.clarity_at`.

    Returns:
        (1,), bool; False if one of them is not finite.
    """
    alike, by_chance, share = _compare(earlier, later)
    score = alike + _BY_CHANCE * by_chance + _COME_BACK * share + _EXCUSE * less_clear
    return (score < _SAME_SCENE) | ((alike < by_chance + _MORE_THAN_CHANCE) & (share < _FEW_COME_BACK))


def scene_measures(earlier: Features, later: Features) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What tells whether two frames, each a batch of one, show one scene: each (1,).

    These are the likeness, the likeness by chance, the share of places that come back, and by how much the later one is
    less clear.
    """
    return *_compare(earlier.features[1], later.features[1]), _loses_clarity(earlier, later)


def is_cut(earlier: Features, later: Features) -> bool:
    """Whether there is a cut between two frames, each a batch of one. On a GPU this waits for them."""
    return bool(is_other_scene(earlier.features[1], later.features[1], _loses_clarity(earlier, later)).item())


def _loses_clarity(earlier: Features, later: Features) -> Tensor:
    return _less_clear(clarity_at(earlier.features[2]), clarity_at(later.features[2]))


def _compare(earlier: Tensor, later: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    turned = [later.flip(sides) for sides in ((3,), (2,), (2, 3))]
    alike, *turned_alike = scene_likeness(earlier, torch.cat([later, *turned])).split(1)
    share = share_that_comes_back(earlier, later, Match.identity(earlier), _SEARCH)
    return alike, torch.stack(turned_alike).mean(0), share[None]


def _less_clear(earlier: Tensor, later: Tensor) -> Tensor:
    """By how much a frame is less clear; 0 if that is unknown, as at a clip's start or for one position alone."""
    return (earlier - later).nan_to_num(0, 0, 0)


class SeenFrame(NamedTuple):
    """What the next frame of a clip is compared with."""

    features: Tensor
    """(1, C, h, w), at stride 16: of the last frame that shows something; NaN at a clip's start."""
    clarity: Tensor
    """(1,), float32, its clarity at stride 32; NaN at a clip's start."""


def follow_scene(
    seen: SeenFrame, features: Sequence[Tensor], coarse: Sequence[Tensor], usable: Sequence[Tensor]
) -> list[Tensor]:
    """Compare each frame of a clip with the one before it: see :func:`find_cuts`. On a GPU this does not wait.

    Args:
        seen: what the first frame is compared with.
        features: of consecutive frames, each (1, C, h, w), at stride 16.
        coarse: the same at stride 32.
        usable: for each frame whether it shows something, (1,), bool.

    Returns:
        whether each frame begins another scene, (T,), bool; then for each frame the parts of what :func:`find_cuts`
        passes on.
    """
    cuts: list[Tensor] = []
    states: list[Tensor] = []
    for current, clarity, is_usable in zip(features, map(clarity_at, coarse), usable, strict=True):
        shows = is_usable & are_finite([current])
        # A comparison with NaN, of a clip that has shown nothing yet, is never a cut.
        cuts.append(shows & is_other_scene(seen.features, current, _less_clear(seen.clarity, clarity)))
        chosen = torch.where(shows[:, None, None, None], current, seen.features)
        seen = SeenFrame(chosen, torch.where(shows, clarity, seen.clarity))
        states += seen
    return [torch.cat(cuts), *states]


def find_cuts(
    seen: SeenFrame | None,
    frames: Sequence[Features],
    usable: Sequence[Tensor],
    follow: Callable[..., Sequence[Tensor]] = follow_scene,
) -> tuple[list[bool], list[SeenFrame]]:
    """Find the frames of a clip that begin another scene. On a GPU this waits once for all of them.

    Frames that are not finite or not usable are passed over: the frame after them is compared with the one before.

    Args:
        seen: the second result for the frame before these; None at a clip's start.
        frames: consecutive frames of one clip, each a batch of one.
        usable: for each frame whether it shows something, (1,), bool.
        follow: what computes :func:`follow_scene`, such as a graph.

    Returns:
        for each frame whether it begins another scene, and what to pass on as ``seen``.
    """
    features, coarse = ([frame.features[stride] for frame in frames] for stride in (1, 2))
    if seen is None:
        nothing = torch.full_like(features[0], torch.nan)
        seen = SeenFrame(nothing, nothing[:, 0, 0, 0].float())
    cuts, *states = follow(seen, features, coarse, usable)
    parts = len(SeenFrame._fields)
    return cuts.tolist(), [SeenFrame(*states[at : at + parts]) for at in range(0, len(states), parts)]
