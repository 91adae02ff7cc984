"""A propagation through a video: its place and its memory, and how it segments its next frame."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lsinet_monai.inferers.adjacent import ClearestFrame, choose_adjacent
from lsinet_monai.inferers.corrections import Corrections, nearest_frames
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.inferers.mask_carrying import CarriedMask, blend
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.sequential import SequentialVideoInferer
from lsinet_monai.inferers.smoothing import SmoothedLogit, smooth
from lsinet_monai.inferers.stored_cuts import StoredCuts
from lsinet_monai.masks import logit_to_probability, mask_change
from lsinet_monai.networks import Features

__all__ = ["PropagatedFrame", "Propagation", "Propagator"]

logger = logging.getLogger(__name__)


class PropagatedFrame(NamedTuple):
    """A frame around a corrected one."""

    frame: int
    probability: np.ndarray
    """float32, (H, W), in [0, 1]."""
    change: float
    """How much the carried mask of the corrected frame changed this frame's mask, in [0, 1]: 1 - IoU of the masks
    (probability above 0.5) with and without the carried mask; 0 if both are empty. Both are computed with the corrected
    frame in memory."""
    carried: tuple[int, ...] = ()
    """The corrected frames whose masks are carried to this frame, in order. If the one from which the propagation comes
    is not among them, its mask says nothing about this frame, which is best left as it was: a propagation knows less of
    the frames around it than a run over the whole video."""


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

    @property
    def skipped_writes(self) -> int:
        """How many of its frames were not written to memory, because they were not finite or blank."""
        skipped = self.memory.skipped_writes
        return 0 if skipped is None else int(skipped.sum())

    def report_skipped_writes(self) -> None:
        """Log a warning if there are any."""
        if skipped := self.skipped_writes:
            logger.warning("writes to memory skipped, for frames of one colour, or without numbers: %d", skipped)

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


class Propagator:
    """Segments the frames of a video one after the other, from and to any frame.

    Args:
        store: the video's encoded frames.
        inferer: its options say when to write to the memory and which frame is adjacent.
        cuts: the video's cuts.
        corrections: the corrected frames.
    """

    def __init__(
        self, store: FeatureStore, inferer: SequentialVideoInferer, cuts: StoredCuts, corrections: Corrections
    ) -> None:
        self._store = store
        self._inferer = inferer
        self._cuts = cuts
        self._corrections = corrections
        self.engine = inferer.engine(store.network)

    def begin(self, frames: range) -> Propagation:
        """Begin a propagation over these frames, with an empty memory."""
        self.engine = self._inferer.engine(self._store.network)
        memory = self._inferer.new_state().memory
        return Propagation(memory, frames[0], frames.step, first=frames[0], corrected=list(self._corrections.masks))

    def propagate_from(self, frame: int, reached: range, nearest_first: bool) -> Iterator[PropagatedFrame]:
        """Segment the frames around a corrected one, see :meth:`VideoSession.propagate_from`.

        Args:
            frame: the corrected frame.
            reached: the frames on which it acts, without gaps, among them itself.
            nearest_first: whether the two directions come in turns.
        """
        before = self._propagate_one_way(frame, range(frame - 1, reached.start - 1, -1))
        after = self._propagate_one_way(frame, range(frame + 1, reached.stop))
        yield from _in_turns(before, after) if nearest_first else chain(before, after)

    def _propagate_one_way(self, corrected: int, frames: range) -> Iterator[PropagatedFrame]:
        if not frames:
            return
        propagation = self.begin(frames)
        for frame in frames:
            if self._cuts.between(frame - frames.step, frame):
                break
            own = self.segment(frame, propagation)
            if own is None:
                continue
            carried = self._corrections.carried_to(frame)
            after, change = _blend(own, carried), 0.0
            if carried.get(corrected) is not None:
                before = _blend(own, self._corrections.carried_to(frame, without=corrected, known=carried))
                change = mask_change(before > 0.5, after > 0.5)
            yield PropagatedFrame(frame, after, change, tuple(x for x, mask in carried.items() if mask is not None))
        propagation.report_skipped_writes()

    def blend(self, frame: int, own: Tensor) -> np.ndarray:
        """Blend a frame's own probability, see :meth:`segment`, with the masks that are carried to it.

        Returns:
            float32, (H, W).
        """
        return _blend(own, self._corrections.carried_to(frame))

    def segment(self, frame: int, propagation: Propagation) -> Tensor | None:
        """Segment the next frame of a propagation, and take it into the propagation's state.

        Returns:
            its probability, (1, 1, H, W), without carried masks; for a corrected frame the mask, for a damaged one
            None.

        Raises:
            InputError: a corrected frame is damaged.
        """
        is_corrected = frame in self._corrections
        propagation.frame = frame + propagation.step
        encoded = None if is_corrected else self._store.get(frame, propagation.step)
        if encoded is None and not is_corrected:
            return None
        if propagation.last is not None and self._cuts.between(propagation.last, frame):
            propagation.begin_scene(frame, self._inferer.new_state().memory)
        if not is_corrected:
            propagation.take_nearest(frame, self._corrections)
        propagation.last = frame
        write = propagation.count % self._inferer.memory_interval == 0
        propagation.count += 1
        if encoded is None:
            propagation.smoothed = None
            return self._corrections.mask(frame).float()
        adjacent = self._adjacent(frame, encoded.features, propagation)
        usable = torch.full((1,), not encoded.is_blank, device=self._store.device)
        logit = self.engine.segment(
            encoded.features, adjacent, propagation.memory, write, self._store.image_size, usable
        )
        logit = propagation.smooth(logit, encoded.features, usable, self._inferer.smoothing)
        if encoded.detail is not None:
            logit = self.engine.refine(encoded.features, encoded.detail, logit)
        if self._inferer.adjacent == "clearest":
            propagation.find_clearest(encoded.features, usable)
        return logit_to_probability(logit, encoded.size)

    def _adjacent(self, frame: int, current: Features, propagation: Propagation) -> Features:
        """The adjacent frame; at a gap, a cut or the video's end, the inferer's fallback."""
        step = propagation.step
        # Next and previous mean in time; the clearest frame is one before in the propagation's direction.
        ahead = step if self._inferer.adjacent == "clearest" else 1
        following = None if self._inferer.adjacent == "previous" else self._beside(frame, frame + ahead, step)
        previous = None
        if following is None and propagation.clearest is None:
            previous = self._beside(frame, frame - ahead, step)
        return choose_adjacent(current, following, previous, propagation.clearest)

    def _beside(self, frame: int, other: int, step: int) -> Features | None:
        """Features of a frame beside another one; None if there is none in this scene, or if it is damaged."""
        if not 0 <= other < len(self._store.source) or self._cuts.between(frame, other):
            return None
        return self._features(other, step)

    def _features(self, frame: int, step: int) -> Features | None:
        """Features of a frame; None if it is damaged. Those of a corrected frame are kept, and not encoded again."""
        if frame in self._corrections:
            return self._corrections.features([frame])[0]
        encoded = self._store.get(frame, step)
        return None if encoded is None else encoded.features


def _blend(own: Tensor, carried: Mapping[int, CarriedMask | None]) -> np.ndarray:
    return blend(own, [mask for mask in carried.values() if mask is not None])[0, 0].float().cpu().numpy()


def _in_turns(*sides: Iterator[PropagatedFrame]) -> Iterator[PropagatedFrame]:
    """One frame of each side after the other, as long as a side has any. No side is asked before its turn."""
    waiting = list(sides)
    while waiting:
        for side in tuple(waiting):
            found = next(side, None)
            if found is None:
                waiting.remove(side)
            else:
                yield found
