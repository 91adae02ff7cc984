"""Which frame is the adjacent one of a frame: the one after it or before it, or the clearest one near it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lsinet_monai.inferers.clarity import clarity
from lsinet_monai.networks import Features

__all__ = ["Adjacent", "ClearestFrame", "choose_adjacent"]

Adjacent = Literal["next", "previous", "clearest"]

# A frame that is so much clearer may be one frame farther away. Chosen on Kvasir-SEG's validation stills.
_PER_FRAME = 0.02


class ClearestFrame(NamedTuple):
    """The frame before the current one that is worth most as its adjacent frame: a clear one, not too far away.

    A frame's worth is its clarity, less 0.02 per frame of distance. So it is enough to keep one frame, however far back
    it lies: which of two frames is worth more does not change as time goes on.
    """

    features: tuple[Tensor, ...]
    """(B, 32, h, w), at strides 8, 16 and 32."""
    worth: Tensor
    """(B,), float32, for the frame after the last one that was compared."""

    @classmethod
    def after(cls, before: ClearestFrame | None, frame: Features, usable: Tensor | None = None) -> ClearestFrame:
        """Find the clearest frame up to a frame.

        Args:
            before: the clearest of the frames before it; None for the first frame.
            frame: the frame, a batch of B.
            usable: (B,), bool: whether it shows something; all if not given.
        """
        found = cls(frame.features, clarity(frame, usable) - _PER_FRAME)
        return found if before is None else _better(found, cls(before.features, before.worth - _PER_FRAME))

    def or_following(self, following: Features) -> Features:
        """The adjacent frame: this one, or the frame that follows the current one if that is worth as much."""
        return Features(_better(ClearestFrame.after(None, following), self).features, (), ())

    def to_list(self) -> list[Tensor]:
        """A copy, which ``torch.load(weights_only=True)`` reads."""
        return [x.clone() for x in (*self.features, self.worth)]

    @classmethod
    def from_list(cls, saved: Sequence[Tensor]) -> ClearestFrame:
        """Make it from the result of :meth:`to_list`."""
        *features, worth = saved
        return cls(tuple(features), worth)


def _better(first: ClearestFrame, second: ClearestFrame) -> ClearestFrame:
    """For each clip of a batch the frame that is worth more; the first one if they are worth the same."""
    takes_first = first.worth >= second.worth
    rows = takes_first[:, None, None, None]
    pairs = zip(first.features, second.features, strict=True)
    features = tuple(torch.where(rows, x, y) for x, y in pairs)
    return ClearestFrame(features, torch.where(takes_first, first.worth, second.worth))


def choose_adjacent(
    current: Features, following: Features | None, previous: Features | None, clearest: ClearestFrame | None
) -> Features:
    """Choose the adjacent frame of a frame.

    Args:
        current: the frame.
        following: the frame after it; None if there is none, or if it is not to be taken.
        previous: the frame before it; None if there is none.
        clearest: the clearest of the frames before it; None if there is none, or if it is not to be taken.

    Returns:
        the clearest one, or the following one if that is worth as much. Without the clearest one it is the following
        one, without that the previous one, and without any the frame itself. Only its features are to be used.
    """
    if clearest is None:
        return following or previous or current
    return Features(clearest.features, (), ()) if following is None else clearest.or_following(following)
