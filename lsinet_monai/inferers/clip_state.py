"""The state of a clip between two frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lsinet_monai.inferers.adjacent import ClearestFrame
from lsinet_monai.inferers.bad_frames import are_left_empty
from lsinet_monai.inferers.cuts import SeenFrame
from lsinet_monai.inferers.input_checks import check_saved
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.smoothing import SmoothedLogit
from lsinet_monai.networks import Features

__all__ = ["ClipReport", "ClipState", "EncodedFrame"]


class ClipReport(NamedTuple):
    """What happened to a clip that a person should know."""

    left_empty: int
    """The number of frames that were left empty, because the network's logits were not finite."""
    skipped_writes: int
    """The number of frames that were due to be written to memory and were not, because they were not finite or all
    their pixels had one colour."""

    cuts: tuple[int, ...] = ()
    """The frames after cuts, by their place among the frames that were segmented, from 0."""

    def __bool__(self) -> bool:
        """Whether a frame was left empty, or a write skipped."""
        return self.left_empty + self.skipped_writes > 0

    def __str__(self) -> str:
        frames = (
            f"{self.left_empty} frame{'s' * (self.left_empty != 1)} left empty, because the network gave no numbers"
        )
        writes = f"{self.skipped_writes} write{'s' * (self.skipped_writes != 1)} to memory skipped"
        parts = [frames] * bool(self.left_empty) + [writes] * bool(self.skipped_writes)
        return "; ".join(parts) or "nothing"


class EncodedFrame(NamedTuple):
    """An encoded frame, and what the inferer has found out about it."""

    features: Features
    usable: Tensor | None
    """(B,), bool: whether it may be written to memory."""
    detail: Tensor | None
    """What :meth:`FrameEngine.see` computed of it, if masks are refined."""
    begins_scene: bool
    """Whether it comes after a cut."""
    seen: SeenFrame | None
    """See :attr:`ClipState.seen`."""


@dataclass
class ClipState:
    """The state between two frames of a clip, or of a batch of clips."""

    memory: MemoryBank
    frame_index: int = 0
    """The index of the frame to segment next, from 0."""
    previous: Features | None = None
    """The frame segmented last."""
    waiting: Features | None = None
    """The frame to segment next, if it is encoded already and only waits for the frame after it."""
    waiting_usable: Tensor | None = None
    """(B,), bool: whether the waiting frame may be written to memory."""
    waiting_detail: Tensor | None = None
    """What :meth:`FrameEngine.see` computed of the waiting frame, if masks are refined."""
    waiting_begins_scene: bool = False
    """Whether the waiting frame comes after a cut."""
    seen: SeenFrame | None = None
    """What the next frame is compared with to find a cut, see :func:`find_cuts`."""
    cuts: list[int] = field(default_factory=list)
    """The indices of the frames so far that came after a cut."""
    frame_shape: tuple[int, ...] | None = None
    """(B, 3, H, W) of the frames; None before the first one."""
    left_empty: Tensor | None = None
    """(B,), int64: how many frames of each clip were left empty, because their logits were not finite."""
    clearest: ClearestFrame | None = None
    """The clearest of the frames before, where an adjacent frame is chosen by that."""
    smoothed: SmoothedLogit | None = None
    """The smoothed logits up to the frame segmented last, where masks are smoothed."""

    @property
    def scene_index(self) -> int:
        """The index of the next frame within its scene: the number of frames since the last cut."""
        return self.frame_index - (self.cuts[-1] if self.cuts else 0)

    def begin_scene(self) -> None:
        """Continue with the next frame as if a clip began with it; only the counts are kept."""
        skipped = self.memory.skipped_writes
        self.memory = MemoryBank(self.memory.memory_frames, self.memory.forgetting)
        self.memory.skipped_writes = skipped
        self.previous, self.clearest, self.smoothed = None, None, None
        self.cuts.append(self.frame_index)

    def wait(self, frame: EncodedFrame) -> None:
        """Let a frame wait for the frame after it."""
        self.waiting, self.waiting_usable, self.waiting_detail, self.waiting_begins_scene = frame[:4]

    def take_waiting(self) -> EncodedFrame | None:
        """Take the waiting frame out of the state, if there is one."""
        if self.waiting is None:
            return None
        waiting = EncodedFrame(
            self.waiting, self.waiting_usable, self.waiting_detail, self.waiting_begins_scene, self.seen
        )
        self.waiting, self.waiting_usable, self.waiting_detail, self.waiting_begins_scene = None, None, None, False
        return waiting

    def count_left_empty(self, logit: Tensor) -> None:
        """Count a frame, by its logit (B, 1, H, W), if it was left empty."""
        count = are_left_empty(logit[:, 0]).to(torch.int64)
        self.left_empty = count if self.left_empty is None else self.left_empty + count

    def report(self) -> ClipReport:
        """What happened to the clip so far, all clips of a batch together. On a GPU this waits for the frames."""
        empty, skipped = (0 if x is None else int(x.sum()) for x in (self.left_empty, self.memory.skipped_writes))
        return ClipReport(empty, skipped, tuple(self.cuts))

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state: numbers, text and tensors, which ``torch.load(weights_only=True)`` reads."""
        return {
            "frame_index": self.frame_index,
            "memory": self.memory.state_dict(),
            "previous": _copy(self.previous),
            "clearest": None if self.clearest is None else self.clearest.to_list(),
            "smoothed": None if self.smoothed is None else [x.clone() for x in self.smoothed],
            "waiting": _copy(self.waiting),
            "waiting_usable": self.waiting_usable,
            "waiting_detail": None if self.waiting_detail is None else self.waiting_detail.clone(),
            "waiting_begins_scene": self.waiting_begins_scene,
            "seen_frame": None if self.seen is None else list(self.seen),
            "cuts": list(self.cuts),
            "left_empty": self.left_empty,
            "frame_shape": None if self.frame_shape is None else list(self.frame_shape),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a saved state into this one, so that an inferer resumes the clip where it was saved.

        Args:
            state: the result of :meth:`state_dict`, with its tensors on the network's device. Entries that
                an earlier version did not save may be missing. Further keys are ignored.

        Raises:
            InputError: this is not such a state, or its memory has another ``memory_frames`` or ``forgetting``.
        """
        check_saved(state, ("memory", "frame_index", "previous"), "a clip")
        self.memory.load_state_dict(state["memory"])
        self.frame_index = state["frame_index"]
        self.previous = _to_features(state["previous"])
        clearest, smoothed = state.get("clearest"), state.get("smoothed")
        self.clearest = None if clearest is None else ClearestFrame.from_list(clearest)
        self.smoothed = None if smoothed is None else SmoothedLogit(*smoothed)
        self.waiting = _to_features(state.get("waiting"))
        self.waiting_usable = state.get("waiting_usable")
        self.waiting_detail = state.get("waiting_detail")
        self.waiting_begins_scene = state.get("waiting_begins_scene", False)
        # Earlier versions saved other parts, as "seen". Without it the next frame is not compared.
        seen = state.get("seen_frame")
        self.seen = None if seen is None else SeenFrame(*seen)
        self.cuts = list(state.get("cuts", []))
        self.left_empty = state.get("left_empty")
        shape = state.get("frame_shape")
        self.frame_shape = None if shape is None else tuple(shape)


def _copy(features: Features | None) -> list[list[Tensor]] | None:
    """Copy features to lists of tensors. A view of an encoded batch would be saved with the whole batch."""
    return None if features is None else [[x.clone() for x in scales] for scales in features]


def _to_features(saved: Sequence[Sequence[Tensor]] | None) -> Features | None:
    return None if saved is None else Features(*map(tuple, saved))
