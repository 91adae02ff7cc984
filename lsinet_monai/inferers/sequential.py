"""The sequential video inferer: segment the frames of a clip in order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, get_args

import torch
from monai.inferers import Inferer
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.adjacent import Adjacent, ClearestFrame, choose_adjacent
from lsinet_monai.inferers.bad_frames import are_blank
from lsinet_monai.inferers.clip_state import ClipReport, ClipState, EncodedFrame
from lsinet_monai.inferers.cuts import SeenFrame, find_cuts
from lsinet_monai.inferers.frame_engine import FrameEngine, FrameEngines
from lsinet_monai.inferers.frame_step import AmpDtype, encode_frames, segment_frame
from lsinet_monai.inferers.input_checks import (
    check_clips,
    check_frame_tensors,
    check_network,
    clip_key,
    common_value,
)
from lsinet_monai.inferers.memory_bank import Forgetting, MemoryBank
from lsinet_monai.inferers.smoothing import smooth
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.utils.config_values import as_bool, check_choice, check_numbers

__all__ = [
    "Adjacent",
    "AmpDtype",
    "ClipReport",
    "ClipState",
    "SequentialVideoInferer",
    "encode_frames",
    "segment_frame",
]

logger = logging.getLogger(__name__)


class SequentialVideoInferer(Inferer):
    """Segment the frames of a clip in order, with a memory bank per clip. Each frame is encoded once.

    Called with a whole clip, the inferer keeps no state. Called by an engine with pieces of a clip, it keeps one
    :class:`ClipState` per clip until the clip's last piece; pieces of several clips may alternate. A piece has
    ``clip_id``, ``frame_index`` and ``is_last``, batch keys that
    ``PrepareBatchExtraInput({k: k for k in ("clip_id", "frame_index", "is_last")})`` passes on. A piece that starts at
    frame 0 starts its clip again, and :meth:`reset` drops all states; :class:`lsinet_monai.handlers.InfererReset` calls
    it at the start of a run.

    Args:
        memory_interval: write one frame in this many to the memory, starting with frame 0.
        memory_frames: the number of frames that the memory holds.
        adjacent: ``"next"``, as in the released program: the frame adjacent to frame t is t + 1, and for the last frame
            the one before it. ``"previous"``: it is t - 1, and for frame 0 the frame itself, so that no mask needs a
            later frame. ``"clearest"``: the next frame, or one of those before it that is much clearer, see
            :class:`ClearestFrame`.
        forgetting: how a full memory makes room, see :class:`MemoryBank`.
        encode_batch: the number of frames to encode in one pass. A larger number is faster on a GPU, and in half
            precision on a CPU, but delays the masks of a stream by as many frames: use 1 for live video. Apart from
            rounding the masks are the same.
        amp_dtype: the type in which the encoder computes, ``"bfloat16"`` or ``"float16"``; float32 if not given. On a
            CPU it is the backbone beyond stride 8. The rest of the network and the memory stay in float32.
        detect_cuts: find cuts, see :mod:`lsinet_monai.inferers.cuts`, and segment the frames after a cut as if a clip
            began there: memory starts again, and no adjacent frame is taken from the other side. One clip at a time. On
            a GPU this waits for the encoder once per ``encode_batch`` frames.
        smoothing: average the logits over the frames before, see :mod:`lsinet_monai.inferers.smoothing`: the share of
            their weight that is left per frame, in [0, 1). 0 for none.
        refine: let the network's prompt head draw each mask again, see :mod:`lsinet_monai.inferers.refining`.

    On a GPU the encoder and a frame's step run as CUDA graphs, see :mod:`lsinet_monai.inferers.captured`: after a frame
    or two of each size, Python no longer launches their kernels one by one. ``forgetting="released"`` has no graph for
    its step. The graphs, and a copy of the encoder in ``amp_dtype``, are kept as long as inferer and network.

    One bad frame spoils no other. One whose logits are not finite is left empty, with :data:`EMPTY_LOGIT`. It is not
    written to memory (but with ``"released"``), nor is a frame of about one colour. If an adjacent frame is not
    finite, the frame itself takes its place. At a clip's end the log says how many such frames there were, see
    :meth:`report`.

    Raises:
        InputError: an argument has a value that it does not take.

    Source: LSI-Net (SALI), MICCAI 2024, section 2.
    """

    def __init__(
        self,
        memory_interval: int = 5,
        memory_frames: int = 35,
        adjacent: Adjacent = "next",
        forgetting: Forgetting = "usage",
        encode_batch: int = 1,
        amp_dtype: AmpDtype | None = None,
        detect_cuts: bool = False,
        smoothing: float = 0.0,
        refine: bool = False,
    ) -> None:
        check_numbers(memory_interval=memory_interval, encode_batch=encode_batch, smoothing=smoothing)
        check_choice(get_args(Adjacent), adjacent=adjacent)
        check_choice((*get_args(AmpDtype), None), amp_dtype=amp_dtype)
        MemoryBank(memory_frames, forgetting)  # It checks these two.
        self.detect_cuts = as_bool(detect_cuts, "detect_cuts")
        if self.detect_cuts and forgetting == "released":
            raise InputError(
                "detect_cuts=True does not work with forgetting='released', which knows no cuts: leave one out"
            )
        self.memory_interval = memory_interval
        self.memory_frames = memory_frames
        self.adjacent = adjacent
        self.forgetting: Forgetting = forgetting
        self.encode_batch = encode_batch
        self.amp_dtype: AmpDtype | None = amp_dtype
        self.smoothing = smoothing
        self.refine = as_bool(refine, "refine")
        self._states: dict[tuple[str, ...], ClipState] = {}
        self._reports: dict[tuple[str, ...], ClipReport] = {}
        self._engines = FrameEngines()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that shape the masks, by config key."""
        return {
            "memory_interval": self.memory_interval,
            "memory_frames": self.memory_frames,
            "forgetting": self.forgetting,
            "adjacent": self.adjacent,
            "amp_dtype": self.amp_dtype,
            "detect_cuts": self.detect_cuts,
            "smoothing": self.smoothing,
            "refine": self.refine,
        }

    def new_state(self) -> ClipState:
        """Make the state of a clip before its first frame."""
        return ClipState(MemoryBank(self.memory_frames, self.forgetting))

    def engine(self, network: LSINet) -> FrameEngine:
        """Return what encodes and segments the frames of a clip with a network, whose weights stay as they are.

        Raises:
            InputError: the network is in training mode or not an LSINet, or has no prompt head to refine masks with.
        """
        engine = self._engines.get(network, self.amp_dtype)
        if self.refine and network.prompt_head is None:
            raise InputError("refine=True needs a network with a prompt head, and this one has none: leave it out")
        return engine

    def reset(self) -> None:
        """Drop the states and reports of all clips that arrive in pieces."""
        self._states.clear()
        self._reports.clear()

    def report(self, clip_id: str | Sequence[str]) -> ClipReport:
        """Return what happened to a clip that arrives in pieces: up to now, or after its last piece in all."""
        state = self._states.get(clip_key(clip_id))
        return self._reports.get(clip_key(clip_id), ClipReport(0, 0)) if state is None else state.report()

    def save_clip(self, clip_id: str | Sequence[str]) -> dict[str, Any]:
        """Copy the state of a clip that arrives in pieces.

        Returns:
            see :meth:`ClipState.state_dict`.

        Raises:
            InputError: no piece of this clip has arrived, or its last piece has, or it arrived in a batch with others.
        """
        state = self._states.get(clip_key(clip_id))
        if state is None:
            known = "; ".join(", ".join(key) for key in self._states) or "none"
            raise InputError(f"no piece of clip {clip_id!r} has come, or its last one has; clips under way: {known}")
        return state.state_dict()

    def load_clip(self, clip_id: str | Sequence[str], saved: Mapping[str, Any]) -> None:
        """Resume a clip that arrives in pieces from the result of :meth:`save_clip`.

        Args:
            clip_id: the clip.
            saved: its state, with the tensors on the network's device.

        Raises:
            InputError: see :meth:`ClipState.load_state_dict`.
        """
        state = self.new_state()
        state.load_state_dict(saved)
        self._states[clip_key(clip_id)] = state

    def __call__(
        self,
        inputs: Tensor,
        network: LSINet,
        clip_id: str | Sequence[str] | None = None,
        frame_index: int | Sequence[int] | Tensor | None = None,
        is_last: bool | Sequence[bool] | Tensor | None = None,
    ) -> Tensor:
        """Segment a clip, or a piece of one. No gradients are recorded.

        Args:
            inputs: (B, 3, T, H, W), frames as the network takes them, one clip per row of the batch.
            network: in evaluation mode.
            clip_id: the clip of each row's piece; not needed for whole clips.
            frame_index: the index of the piece's first frame in its clip, the same for all rows.
            is_last: whether the clip ends with this piece, the same for all rows. Without ``adjacent="previous"`` every
                other piece has one frame more than it gets masks for, and the next piece begins with this frame.

        Returns:
            logits (B, 1, T, H, W); (B, 1, T - 1, H, W) for a piece with one frame more.

        Raises:
            ValueError: the inputs are not clips, the network is in training mode, or a piece does not start where the
                one before it ended; see also :meth:`LSINet.encode`.
        """
        check_network(network)
        check_clips(inputs)
        # Engines pass MetaTensors, whose metadata would stay in the memory.
        frames = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        if clip_id is None:
            if frame_index is not None or is_last is not None:
                raise ValueError("frame_index and is_last belong to a piece of a clip: give its clip_id too")
            return self._segment(frames, network, self.new_state(), True)
        key = clip_key(clip_id)
        if len(key) != frames.shape[0] or len(set(key)) != len(key):
            raise ValueError(f"clip_id must name each of {frames.shape[0]} clips once, got {', '.join(map(str, key))}")
        first = int(common_value(frame_index, "frame_index"))
        last = bool(common_value(is_last, "is_last"))
        if self.adjacent != "previous" and not last and frames.shape[2] < 2:
            raise ValueError(
                f"the piece of {', '.join(key)} at frame {first} is not the last one and holds 1 frame: with "
                f"adjacent={self.adjacent!r} it must hold one frame more than the masks that it gives"
            )
        state = self.new_state() if first == 0 else self._states.get(key)
        expected = state.frame_index if state else 0
        if state is None or first != expected:
            raise ValueError(f"a piece of {', '.join(key)} starts at frame {first}, but frame {expected} is the next")
        self._states[key] = state
        logits = self._segment(frames, network, state, last)
        if last:
            self._reports[key] = self._states.pop(key).report()
        return logits

    def _segment(self, frames: Tensor, network: LSINet, state: ClipState, is_last: bool) -> Tensor:
        return torch.stack(list(self.stream(frames.unbind(2), network, state, is_last)), 2)

    @torch.no_grad()
    def stream(
        self, frames: Iterable[Tensor], network: LSINet, state: ClipState | None = None, is_last: bool = True
    ) -> Iterator[Tensor]:
        """Segment frames one by one, as they come, with constant memory and time per frame.

        At each ``yield``, the state is that of the frame just yielded. It may be saved there, to resume the clip with
        the next frame.

        Args:
            frames: each (B, 3, H, W), of one size, from ``state.frame_index`` on. The first logit comes after
                ``encode_batch`` frames, and after 2 at least but with ``adjacent="previous"``.
            network: in evaluation mode.
            state: the clip's state; a new clip if not given.
            is_last: whether the clip ends with these frames. If it does not, and without ``adjacent="previous"``, the
                last frame gets no logit yet but waits in the state. The next call's frames begin with it.

        Yields:
            the logit of each frame in order, (B, 1, H, W).

        Raises:
            InputError: a frame is of another size than those before it; see also :func:`encode_frames`.
        """
        state = self.new_state() if state is None else state
        engine = self.engine(network)
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            return
        check_frame_tensors([first], state.frame_shape, state.frame_index)
        shape = tuple(first.shape)
        if self.detect_cuts and shape[0] != 1:
            raise InputError(
                f"detect_cuts=True takes one clip at a time, got a batch of {shape[0]}: give them one by one"
            )
        if state.waiting is None:  # Otherwise the first frame is encoded already.
            frames = chain([first], frames)
        first_index = state.frame_index + (state.waiting is not None)
        for current in self._encode(frames, engine, shape, first_index, state.seen):
            state.seen = current.seen
            if self.adjacent == "previous":
                yield self._step(current, None, engine, state, shape)
            else:
                # Before the yield, so that the caller may save the state there.
                waiting = state.take_waiting()
                state.wait(current)
                if waiting is not None:
                    following = None if current.begins_scene else current.features
                    yield self._step(waiting, following, engine, state, shape)
        if is_last and (waiting := state.take_waiting()) is not None:
            yield self._step(waiting, None, engine, state, shape)
        if is_last and (report := state.report()):
            logger.warning("a clip of %d frames: %s", state.frame_index, report)

    def _encode(
        self, frames: Iterator[Tensor], engine: FrameEngine, shape: tuple[int, ...], index: int, seen: SeenFrame | None
    ) -> Iterator[EncodedFrame]:
        while batch := list(islice(frames, self.encode_batch)):
            check_frame_tensors(batch, shape, index)
            index += len(batch)
            features = engine.encode(batch)
            usable = [~are_blank(frame) for frame in batch]
            details = engine.see(batch) if self.refine else repeat(None)
            if self.detect_cuts:
                cuts, states = find_cuts(seen, features, usable, engine.follow_scene)
                seen = states[-1]
                yield from map(EncodedFrame, features, usable, details, cuts, states)
            else:
                yield from map(EncodedFrame, features, usable, details, repeat(False), repeat(None))

    def _step(
        self,
        current: EncodedFrame,
        following: Features | None,
        engine: FrameEngine,
        state: ClipState,
        shape: tuple[int, ...],
    ) -> Tensor:
        """Segment the next frame of a clip.

        Its adjacent frame is the following one, or the clearest. Without one it is the frame before, and without that
        the frame itself.
        """
        if current.begins_scene:
            state.begin_scene()
        write = state.scene_index % self.memory_interval == 0
        clearest = state.clearest if self.adjacent == "clearest" else None
        adjacent = choose_adjacent(current.features, following, state.previous, clearest)
        size = (shape[-2], shape[-1])
        logit = engine.segment(current.features, adjacent, state.memory, write, size, current.usable)
        state.count_left_empty(logit)
        if self.adjacent == "clearest":
            state.clearest = ClearestFrame.after(state.clearest, current.features, current.usable)
        if self.smoothing:
            logit, state.smoothed = smooth(state.smoothed, logit, current.features, self.smoothing, current.usable)
        if current.detail is not None:
            logit = engine.refine(current.features, current.detail, logit)
        state.previous = current.features
        state.frame_index += 1
        state.frame_shape = shape
        return logit
