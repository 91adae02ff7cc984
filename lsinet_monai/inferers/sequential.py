"""The sequential video inferer: the order of things for the frames of a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, get_args

import torch
from monai.inferers import Inferer
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks import Features, LSINet

from .memory_bank import Forgetting, MemoryBank

__all__ = ["Adjacent", "AmpDtype", "ClipState", "SequentialVideoInferer", "encode_frames", "segment_frame"]

Adjacent = Literal["next", "previous"]
AmpDtype = Literal["bfloat16", "float16"]


@dataclass
class ClipState:
    """All that is carried from one frame of a clip to the next (of a batch of clips: of all of them)."""

    memory: MemoryBank
    frame_index: int = 0
    """The frame to segment next, from 0."""
    previous: Features | None = None
    """The frame segmented last."""
    waiting: Features | None = None
    """A frame that is encoded, but whose mask waits for the frame after it."""


def encode_frames(frames: Sequence[Tensor], network: LSINet, amp_dtype: AmpDtype | None = None) -> list[Features]:
    """Encode frames in one pass.

    Args:
        frames: each (B, 3, H, W), of one size; with B clips, of all of them at one moment.
        network: in evaluation mode.
        amp_dtype: what the backbone computes in, see :meth:`LSINet.encode`; float32 if not given.
    """
    features = network.encode(torch.cat(list(frames)), getattr(torch, amp_dtype) if amp_dtype else None)
    per_frame = [[x.chunk(len(frames)) for x in scales] for scales in features]
    return [Features(*(tuple(x[i] for x in scales) for scales in per_frame)) for i in range(len(frames))]


def segment_frame(
    current: Features, adjacent: Features, memory: MemoryBank, network: LSINet, write: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Segment one encoded frame: read the memory, decode, and write to the memory if told to.

    This is all that a frame costs once it is encoded. With a full memory no shape changes from frame to frame, and
    ``torch.compile(segment_frame, fullgraph=True)`` holds it.

    Returns:
        the four logits of :meth:`LSINet.decode`.
    """
    logits = network.decode(current, adjacent, memory.read(current))
    if write:
        memory.write(current.keys, network.weight_values(current, logits))
    return logits


class SequentialVideoInferer(Inferer):
    """Segment the frames of a clip in order, with a memory bank that goes with it. Each frame is encoded once.

    Called with a whole clip it keeps nothing. Called by an engine with the pieces of a clip (``clip_id``,
    ``frame_index`` and ``is_last`` given, the batch keys that
    ``PrepareBatchExtraInput({k: k for k in ("clip_id", "frame_index", "is_last")})`` passes on) it keeps one
    :class:`ClipState` per clip until that clip's last piece; pieces of several clips may alternate. A piece that
    starts at frame 0 starts its clip anew, and :meth:`reset` (at the start of a run, see
    :class:`lsinet_monai.handlers.ResetInferer`) drops all.

    Args:
        memory_interval: frame 0 and then every so many frames are written to memory.
        memory_frames: how many frames' worth of elements the memory holds.
        adjacent: ``"next"``, as released: frame t is segmented beside frame t + 1, the last one beside the one before
            it. ``"previous"``: beside frame t - 1, so that no mask needs a later frame; frame 0 beside itself.
        forgetting: how room is made in a full memory, see :class:`MemoryBank`.
        encode_batch: how many frames are gathered and encoded in one pass. The masks stay the same but for rounding,
            and a stream's come by as many frames later: leave it at 1 for live use. It pays on a GPU, and in half
            precision on a CPU.
        amp_dtype: what the backbone computes in beyond stride 8, ``"bfloat16"`` or ``"float16"``; float32 if not
            given. All else stays in float32, the memory too.

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
    ) -> None:
        if memory_interval < 1:
            raise InputError(f"memory_interval must be 1 or more, got {memory_interval}")
        if adjacent not in get_args(Adjacent):
            raise InputError(f"adjacent must be one of {get_args(Adjacent)}, got {adjacent!r}")
        if encode_batch < 1:
            raise InputError(f"encode_batch must be 1 or more, got {encode_batch}")
        if amp_dtype not in (None, *get_args(AmpDtype)):
            raise InputError(f"amp_dtype must be one of {get_args(AmpDtype)} or none, got {amp_dtype!r}")
        MemoryBank(memory_frames, forgetting)  # says what is wrong with these
        self.memory_interval = memory_interval
        self.memory_frames = memory_frames
        self.adjacent = adjacent
        self.forgetting: Forgetting = forgetting
        self.encode_batch = encode_batch
        self.amp_dtype: AmpDtype | None = amp_dtype
        self._states: dict[tuple[str, ...], ClipState] = {}

    def start(self) -> ClipState:
        """The state of a clip of which nothing has been seen."""
        return ClipState(MemoryBank(self.memory_frames, self.forgetting))

    def reset(self) -> None:
        """Forget all clips that arrive in pieces."""
        self._states.clear()

    def save_clip(self, clip_id: str) -> dict[str, Any]:
        """Copy all that is kept of a clip that arrives in pieces.

        Returns:
            tensors and numbers, which :func:`torch.load` reads with ``weights_only=True``.
        """
        state = self._states[(clip_id,)]
        return {
            "frame_index": state.frame_index,
            "memory": state.memory.state_dict(),
            "previous": _copy(state.previous),
            "waiting": _copy(state.waiting),
        }

    def load_clip(self, clip_id: str, saved: dict[str, Any]) -> None:
        """Go on with a clip where it stood when :meth:`save_clip` was called, of this inferer or of one like it.

        Args:
            clip_id: the clip.
            saved: what was saved, its tensors on the network's device.

        Raises:
            InputError: that inferer had another ``memory_frames`` or ``forgetting``.
        """
        state = self.start()
        state.memory.load_state_dict(saved["memory"])
        state.frame_index = saved["frame_index"]
        state.previous, state.waiting = (
            None if saved[name] is None else Features(*map(tuple, saved[name])) for name in ("previous", "waiting")
        )
        self._states[(clip_id,)] = state

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
            clip_id: whose piece it is, one per row; whole clips need none.
            frame_index: the number of the piece's first frame in its clip, the same for all rows.
            is_last: whether the clip ends with this piece, the same for all rows. With ``adjacent="next"`` a piece
                that is not the last one brings one frame more than it asks masks for, and the next piece begins with
                that frame.

        Returns:
            logits (B, 1, T, H, W), of T - 1 frames for a piece that brings one more.

        Raises:
            ValueError: the inputs are no clips, or a piece does not go on where the one before it ended.
        """
        if inputs.ndim != 5 or inputs.shape[1] != 3 or inputs.shape[2] == 0:
            raise ValueError(f"clips (B, 3, T, H, W) with one frame at least are needed, got {tuple(inputs.shape)}")
        # Engines pass MetaTensors; nothing of theirs may live on in the memory.
        frames = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        if clip_id is None:
            return self._segment(frames, network, self.start(), True)
        key = (clip_id,) if isinstance(clip_id, str) else tuple(clip_id)
        first = int(_common(frame_index, "frame_index"))
        last = bool(_common(is_last, "is_last"))
        if self.adjacent == "next" and not last and frames.shape[2] < 2:
            raise ValueError(
                f"the piece of {', '.join(key)} at frame {first} is not the last one and holds 1 frame: with "
                "adjacent='next' it needs the frame after those that it asks masks for"
            )
        state = self.start() if first == 0 else self._states.get(key)
        expected = state.frame_index if state else 0
        if state is None or first != expected:
            raise ValueError(f"a piece of {', '.join(key)} starts at frame {first}, but frame {expected} is the next")
        self._states[key] = state
        logits = self._segment(frames, network, state, last)
        if last:
            del self._states[key]
        return logits

    def _segment(self, frames: Tensor, network: LSINet, state: ClipState, is_last: bool) -> Tensor:
        return torch.stack(list(self.stream(frames.unbind(2), network, state, is_last)), 2)

    @torch.no_grad()
    def stream(
        self, frames: Iterable[Tensor], network: LSINet, state: ClipState | None = None, is_last: bool = True
    ) -> Iterator[Tensor]:
        """Segment frames one by one, as they come, at constant memory and time per frame whatever their number.

        Args:
            frames: each (B, 3, H, W), of one size; with a state whose clip has a frame waiting, this frame first. At
                most ``encode_batch`` of them are taken before a mask is given for the first (and one more with
                ``adjacent="next"``, if ``encode_batch`` is 1).
            network: in evaluation mode.
            state: where the clip stands; a new clip if not given.
            is_last: whether the clip ends with these frames; if not, with ``adjacent="next"``, the last of them is
                only looked at, and waits in the state.

        Yields:
            the logit of each frame in order, (B, 1, H, W).
        """
        state = self.start() if state is None else state
        frames = iter(frames)
        first = next(frames, None)
        if first is None:
            return
        size = first.shape[-2:]
        if state.waiting is None:  # if not, the first frame was encoded when the piece before looked ahead to it
            frames = chain([first], frames)
        for current in self._encode(frames, network):
            if self.adjacent == "previous":
                yield self._step(current, state.previous, network, state, size)
            else:
                if state.waiting is not None:
                    yield self._step(state.waiting, current, network, state, size)
                state.waiting = current
        if is_last and state.waiting is not None:
            waiting, state.waiting = state.waiting, None
            yield self._step(waiting, state.previous, network, state, size)

    def _encode(self, frames: Iterator[Tensor], network: LSINet) -> Iterator[Features]:
        while batch := list(islice(frames, self.encode_batch)):
            yield from encode_frames(batch, network, self.amp_dtype)

    def _step(
        self, current: Features, adjacent: Features | None, network: LSINet, state: ClipState, size: torch.Size
    ) -> Tensor:
        """Segment the frame that is next in its clip. A frame without an adjacent one is its own."""
        write = state.frame_index % self.memory_interval == 0
        logits = segment_frame(current, current if adjacent is None else adjacent, state.memory, network, write)
        state.previous = current
        state.frame_index += 1
        return network.upsample_logits(logits, size)[-1]


def _copy(features: Features | None) -> list[list[Tensor]] | None:
    """Tensors of a frame's own, not the views of a whole batch that encoding leaves: those are saved with all of it."""
    return None if features is None else [[x.clone() for x in scales] for scales in features]


def _common(value: Any, name: str) -> Any:
    """The one value that all rows of a batch share."""
    values = set(
        value.flatten().tolist() if isinstance(value, Tensor) else value if isinstance(value, Sequence) else [value]
    )
    if len(values) != 1 or None in values:
        raise ValueError(f"all clips of a batch need the same {name}, got {value}")
    return values.pop()
