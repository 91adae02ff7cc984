"""A propagation through a video: its place, its memory, and which corrected frames are in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lsinet_monai.inferers.adjacent import ClearestFrame
from lsinet_monai.inferers.corrections import Corrections
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.smoothing import SmoothedLogit, smooth
from lsinet_monai.networks import Features

__all__ = ["MOST_CORRECTED", "PropagatedFrame", "Propagation", "nearest_frames"]

MOST_CORRECTED = 8
"""The number of corrected frames that the memory of a propagation holds at most."""


def nearest_frames(corrected: Collection[int], frame: int) -> list[int]:
    """The corrected frames nearest to the stretch between two of them in which a frame lies.

    They are the same for all frames of the stretch, whose ends are among them.

    Args:
        corrected: the corrected frames.
        frame: the frame.

    Returns:
        :data:`MOST_CORRECTED` frames, or all if there are fewer, in order. Of two that are as near the earlier one is
        taken.
    """
    start = max((other for other in corrected if other <= frame), default=frame)
    end = min((other for other in corrected if other >= frame), default=frame)
    by_distance = sorted(corrected, key=lambda other: (max(start - other, other - end), other))
    return sorted(by_distance[:MOST_CORRECTED])


class PropagatedFrame(NamedTuple):
    """A frame around a corrected one."""

    frame: int
    probability: np.ndarray
    """float32, (H, W), in [0, 1]."""
    change: float
    """How much the carried mask of the corrected frame changed this frame's mask, in [0, 1]: 1 - IoU of the masks
    (probability above 0.5) with and without the carried mask; 0 if both are empty. Both are computed with the corrected
    frame in memory."""


@dataclass
class Propagation:
    """The state of a propagation between two frames."""

    memory: MemoryBank
    frame: int
    """The next frame."""
    step: int
    """1, or -1 in reverse."""
    count: int = 0
    """The number of frames of the scene so far, without damaged ones."""
    last: int | None = None
    """The last frame so far that is not damaged; None if the propagation starts here."""
    first: int = 0
    """The first frame so far of the scene."""
    clearest: ClearestFrame | None = None
    """The clearest frame of the scene so far, see :attr:`ClipState.clearest`."""
    smoothed: SmoothedLogit | None = None
    """The smoothed logits up to the last frame; None after a corrected one, whose mask they do not hold."""
    corrected: list[int] = field(default_factory=list)
    """The frames that were corrected when it began. Those corrected later do not enter its memory."""
    permanent: list[int] = field(default_factory=list)
    """Those that are in memory, where they are the permanent frames."""

    def begin_scene(self, frame: int, memory: MemoryBank) -> None:
        """Go on after a cut, with an empty memory, from the first frame after it."""
        memory.skipped_writes = self.memory.skipped_writes
        self.memory, self.first, self.count, self.permanent = memory, frame, 0, []
        self.clearest, self.smoothed = None, None

    def take_nearest(self, frame: int, corrections: Corrections) -> None:
        """Keep in memory the corrected frames for a frame, see :func:`nearest_frames`, and no others.

        A frame whose correction was taken back meanwhile does not enter the memory, and neither does one of one colour.
        Where cuts are found, only frames of the same scene enter it: those that the propagation has passed, and those
        within reach.

        Raises:
            InputError: a corrected frame is damaged.
        """
        nearest = nearest_frames(self._usable(frame, corrections), frame)
        if nearest == self.permanent:
            return
        written = corrections.keys_and_values(nearest)
        self.memory.drop_permanent()
        for keys, values in written:
            self.memory.write(keys, values, permanent=True)
        self.permanent = nearest

    def to(self, device: torch.device) -> None:
        """Move the state to a device."""
        self.memory.to(device)
        if self.clearest is not None:
            self.clearest = ClearestFrame.from_list([x.to(device) for x in self.clearest.to_list()])
        if self.smoothed is not None:
            self.smoothed = SmoothedLogit(*(x.to(device) for x in self.smoothed))

    def find_clearest(self, frame: Features, usable: Tensor) -> None:
        """Compare the last frame with the clearest one before, see :meth:`ClearestFrame.after`."""
        self.clearest = ClearestFrame.after(self.clearest, frame, usable)

    def smooth(self, logit: Tensor, frame: Features, usable: Tensor, share: float) -> Tensor:
        """Smooth the logit of the last frame, (1, 1, H, W), see :func:`smooth`; with a share of 0 it stays."""
        if share:
            logit, self.smoothed = smooth(self.smoothed, logit, frame, share, usable)
        return logit

    def _usable(self, frame: int, corrections: Corrections) -> list[int]:
        known = [other for other in self.corrected if other in corrections and not corrections.is_blank(other)]
        if not corrections.cuts.detect:
            return known
        passed = range(min(self.first, frame), max(self.first, frame) + 1)
        return [
            other
            for other in known
            if other in passed
            or (abs(other - frame) <= corrections.reach and not corrections.cuts.between(frame, other))
        ]

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state: numbers, text and tensors, which ``torch.load(weights_only=True)`` reads."""
        return {
            "memory": self.memory.state_dict(),
            "frame": self.frame,
            "step": self.step,
            "count": self.count,
            "last": self.last,
            "first": self.first,
            "clearest": None if self.clearest is None else self.clearest.to_list(),
            "smoothed": None if self.smoothed is None else [x.clone() for x in self.smoothed],
            "permanent": list(self.permanent),
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], memory: MemoryBank, corrected: Collection[int]) -> Propagation:
        """Resume a propagation from the result of :meth:`state_dict`.

        Args:
            state: the state.
            memory: an empty bank with the options of the saved one; it takes the saved content.
            corrected: the corrected frames.

        Raises:
            InputError: see :meth:`MemoryBank.load_state_dict`.
        """
        memory.load_state_dict(state["memory"])
        frame, step = state["frame"], state["step"]
        # Earlier versions did not save which corrected frames are in memory: theirs stay until the nearest ones change.
        permanent = state.get("permanent", nearest_frames(corrected, frame - step))
        clearest, smoothed = state.get("clearest"), state.get("smoothed")
        return cls(
            memory,
            frame,
            step,
            count=state["count"],
            last=state.get("last"),
            first=state.get("first", frame),
            clearest=None if clearest is None else ClearestFrame.from_list(clearest),
            smoothed=None if smoothed is None else SmoothedLogit(*smoothed),
            corrected=list(corrected),
            permanent=list(permanent),
        )
