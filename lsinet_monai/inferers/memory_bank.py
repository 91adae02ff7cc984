"""The memory bank: earlier frames' positions as elements, read by later frames, and forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.bad_frames import are_finite
from lsinet_monai.inferers.input_checks import check_saved
from lsinet_monai.inferers.scale_memory import ScaleMemory, drop_least_used
from lsinet_monai.networks import Features
from lsinet_monai.networks.memory import to_elements
from lsinet_monai.ops import MemoryRead, read_memory
from lsinet_monai.utils.config_values import check_choice, check_numbers

__all__ = ["Forgetting", "MemoryBank"]

Forgetting = Literal["usage", "released"]


class MemoryBank:
    """Keys and values of a clip's earlier frames, per scale (strides 8, 16, 32), for a batch of clips.

    A write turns each position of a frame into an element with a key and a value. A read adds to each element's *usage*
    the sum of its weights over all queries, and 1 to its *life*. The bank holds no parameters and records no gradients.
    The caller decides when to read and when to write.

    Args:
        memory_frames: the limit of elements per scale, in frames.
        forgetting: how a full bank makes room.

            - ``"usage"``: the elements of a new frame replace as many old ones: those with the least usage per life,
              and in a tie the older ones. A new frame is kept at least until the next write, so that reads can use it.
              Elements that are read often stay, however old they are. So the bank always takes new frames, never
              exceeds its limit, and a read has a constant cost.
            - ``"released"``: as in the authors' program, for comparison. If scale 0 held ``memory_frames`` frames or
              more before a write, each scale shrinks to the limit after it: it drops its least used elements, and all
              elements that tie with the last one dropped. New elements have no usage yet, so they are dropped too:
              after about ``memory_frames`` writes the bank keeps no new frame.

    *Permanent* frames, such as those with a corrected mask, have slots of their own in front of the others. They are
    read together with the other frames, are never forgotten, and do not count towards ``memory_frames``. A permanent
    frame makes later reads slower, like any other frame in memory. Writing one copies all slots once. All other changes
    happen in place: the first write allocates the slots, and with ``"usage"`` no shape changes in a full bank, so that
    a frame's step can be compiled.

    Nothing that is not finite enters the bank: a clip whose frame has such keys or values keeps its elements, and the
    write counts in :attr:`skipped_writes`. The read of a frame that is not finite does not count as usage or life. As
    long as a clip has no element, its frames read themselves. All this is decided on the device, per clip. It does not
    hold for ``"released"``, which writes all that comes, as the authors' program does.

    A bank can be copied (``copy.deepcopy``), moved (:meth:`to`) and saved (:meth:`state_dict`).

    Source: LSI-Net (SALI), MICCAI 2024, Long-term Interaction Module; usage from XMem (Cheng and Schwing, ECCV 2022),
    and permanent frames from XMem++ (Bekuzarov et al., ICCV 2023).
    """

    def __init__(self, memory_frames: int = 35, forgetting: Forgetting = "usage") -> None:
        check_numbers(memory_frames=memory_frames)
        check_choice(get_args(Forgetting), forgetting=forgetting)
        self.memory_frames = memory_frames
        self.forgetting = forgetting
        self.scales: list[ScaleMemory] = []
        # Per scale the number of permanent slots, and the number of slots after them that may hold elements. All
        # further slots are empty for every clip.
        self._permanent: list[int] = []
        self._filled: list[int] = []
        self.skipped_writes: Tensor | None = None
        """(B,), int64: how many writes each clip skipped; None before the first write, and for ``"released"``."""

    @classmethod
    def from_scales(cls, scales: Sequence[ScaleMemory], memory_frames: int = 35) -> MemoryBank:
        """A bank with ``forgetting="usage"`` that holds a copy of some slots, none of them permanent.

        Args:
            scales: the slots of each scale, empty ones included. They are all that the bank has.
            memory_frames: the limit of elements per scale, in frames.

        Raises:
            InputError: ``memory_frames`` is less than 1.
        """
        bank = cls(memory_frames)
        bank.scales = [ScaleMemory(*(x.clone() for x in scale.tensors())) for scale in scales]
        bank._permanent = [0] * len(scales)
        bank._filled = [scale.life.shape[1] for scale in scales]
        return bank

    def over(self, scales: Sequence[ScaleMemory]) -> MemoryBank:
        """A bank over other slots of the same shapes, for which the shapes of a step do not depend on how full it is.

        With ``forgetting="usage"`` it reads what this bank would read from these slots, and writes to the same ones.
        """
        bank = MemoryBank(self.memory_frames, self.forgetting)
        bank.scales = list(scales)
        bank._permanent = list(self._permanent)
        bank._filled = [scale.life.shape[1] - end for scale, end in zip(scales, self._permanent, strict=True)]
        return bank

    def count_write(self, skipped: Tensor) -> None:
        """Take note of a write to this bank's slots by a bank from :meth:`over`, whose ``skipped_writes`` is given."""
        self._count_skipped(skipped)
        for i, scale in enumerate(self.scales):
            slots = scale.life.shape[1] - self._permanent[i]
            self._filled[i] = min(self._filled[i] + slots // self.memory_frames, slots)

    @property
    def permanent_slots(self) -> tuple[int, ...]:
        """The number of permanent slots per scale."""
        return tuple(self._permanent)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written yet."""
        return not self.scales

    @property
    def sizes(self) -> Tensor:
        """(B, 3), int64, on the CPU: the number of elements per clip and scale, including permanent ones."""
        if self.is_empty:
            return torch.zeros(0, 3, dtype=torch.int64)
        return torch.stack([(scale.life > 0).sum(1) for scale in self.scales], 1).cpu()

    def to(self, device: torch.device | str) -> MemoryBank:
        """Move all elements to a device. Returns the bank itself."""
        self.scales = [ScaleMemory(*(x.to(device) for x in scale.tensors())) for scale in self.scales]
        self.skipped_writes = None if self.skipped_writes is None else self.skipped_writes.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        """A copy of the bank: text, numbers and tensors, which ``torch.load(weights_only=True)`` reads."""
        return {
            "memory_frames": self.memory_frames,
            "forgetting": self.forgetting,
            "permanent": list(self._permanent),
            "filled": list(self._filled),
            "skipped_writes": None if self.skipped_writes is None else self.skipped_writes.clone(),
            "scales": [{name: x.clone() for name, x in vars(scale).items()} for scale in self.scales],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the bank's content by a copy of a :meth:`state_dict`.

        Raises:
            InputError: this is not such a dict, or the saved bank had another ``memory_frames`` or ``forgetting``.
        """
        check_saved(state, ("memory_frames", "forgetting", "permanent", "filled", "scales"), "a memory bank")
        for name in ("memory_frames", "forgetting"):
            if state[name] != getattr(self, name):
                raise InputError(
                    f"the memory was saved with {name}={state[name]!r}, and this one has {getattr(self, name)!r}: "
                    "resume with the same value"
                )
        self._permanent, self._filled = list(state["permanent"]), list(state["filled"])
        self.scales = [ScaleMemory(**{name: x.clone() for name, x in scale.items()}) for scale in state["scales"]]
        skipped = state.get("skipped_writes")  # An earlier version did not count them.
        self.skipped_writes = None if skipped is None else skipped.clone()

    @torch.no_grad()
    def read(self, features: Features) -> tuple[Tensor, ...]:
        """Read for every position of a frame, and record the usage.

        Args:
            features: the frame that reads: a batch of B frames, one per clip.

        Returns:
            three of (B, 16, h, w), float32 also in half precision. If the bank is empty the frame reads itself, and
            nothing is recorded.

        Raises:
            InputError: the batch has another number of clips than the bank, or is on another device.
        """
        if self.is_empty:
            return features.read_own()
        self._check_clips(features.keys[0])
        released = self.forgetting == "released"
        counts = are_finite(features.keys)
        results = []
        for scale, permanent, filled, *own in zip(
            self.scales, self._permanent, self._filled, features.keys, features.values, strict=True
        ):
            memory = scale.slots(0, permanent + filled)
            query = own[0]
            if released:
                occupied = memory.life > 0
                read = read_memory(to_elements(query), memory.keys, memory.values, occupied)
                weights, lives = read.weights, occupied
            else:
                read, weights, lives = _read_guarded(memory, ScaleMemory.new(*map(to_elements, own)), counts)
            memory.usage.scatter_add_(1, read.indices.flatten(1), weights.flatten(1).to(memory.usage.dtype))
            memory.life.add_(lives.to(memory.life.dtype))
            results.append(read.values.transpose(1, 2).unflatten(2, query.shape[-2:]))
        return tuple(results)

    @torch.no_grad()
    def write(
        self,
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
        permanent: bool = False,
        usable: Tensor | None = None,
    ) -> None:
        """Add all positions of a frame, and forget elements beyond the limit.

        With ``"usage"``, clips whose frame is not finite or not usable keep their elements, and count a skipped write.

        Args:
            keys: three of (B, 4, h, w), the frame's keys.
            values: three of (B, 16, h, w), the frame's values, weighted by its mask.
            permanent: keep this frame forever; no other element makes room for it.
            usable: (B,), bool: whether each clip's frame may be written; all if not given.

        Raises:
            InputError: the batch has another number of clips than the bank, or is on another device; or with
                ``"usage"`` the frame has another size than those before it.
        """
        new = [ScaleMemory.new(to_elements(k), to_elements(v)) for k, v in zip(keys, values, strict=True)]
        if not self.is_empty:
            self._check_clips(keys[0])
            self._check_size(new[0])
        else:
            frames = 0 if self.forgetting == "released" else self.memory_frames
            self.scales = [x.empty(frames * x.life.shape[1]) for x in new]
            self._permanent, self._filled = [0] * len(new), [0] * len(new)
        if self.forgetting == "released":
            self._write_permanent(new) if permanent else self._write_released(new)
            return
        written = are_finite([*keys, *values])
        if usable is not None:
            written = written & usable
        if permanent:
            self._write_permanent([x.where(written, x.empty(x.life.shape[1])) for x in new])
        else:
            self._count_skipped((~written).to(torch.int64))
            self._write_over_least_used(new, written)

    def _count_skipped(self, skipped: Tensor) -> None:
        self.skipped_writes = skipped if self.skipped_writes is None else self.skipped_writes + skipped

    def drop_permanent(self) -> None:
        """Drop all permanent frames, so that others can take their place."""
        scales = self.scales if any(self._filled) else []  # With nothing else in it, the bank is empty again.
        self.scales = [scale.slots(end) for scale, end in zip(scales, self._permanent, strict=False)]
        self._permanent = [0] * len(self.scales)

    def _check_clips(self, keys: Tensor) -> None:
        own = self.scales[0].keys
        if keys.shape[0] != own.shape[0]:
            raise InputError(
                f"the memory holds {own.shape[0]} clips, and the batch has {keys.shape[0]}: make a memory for each "
                "batch of clips"
            )
        if keys.device != own.device:
            raise InputError(
                f"the memory is on {own.device}, and the frame on {keys.device}: move it with MemoryBank.to"
            )

    def _check_size(self, new: ScaleMemory) -> None:
        if self.forgetting != "usage" or torch.jit.is_tracing():  # A trace's sizes are tensors.
            return
        positions, rest = divmod(self.scales[0].life.shape[1] - self._permanent[0], self.memory_frames)
        if (new.life.shape[1], 0) != (positions, rest):
            raise InputError(
                f"the memory holds frames of {positions} positions at stride 8, and this one has {new.life.shape[1]}: "
                "all frames of a clip need one size"
            )

    def _write_permanent(self, new: list[ScaleMemory]) -> None:
        for i, x in enumerate(new):
            scale, end = self.scales[i], self._permanent[i]
            self.scales[i] = ScaleMemory.join(scale.slots(0, end), x, scale.slots(end))
            self._permanent[i] += x.life.shape[1]

    def _write_over_least_used(self, new: list[ScaleMemory], written: Tensor) -> None:
        for i, x in enumerate(new):
            temporary = self.scales[i].slots(self._permanent[i])
            batch, count = x.life.shape
            if self._filled[i] < temporary.life.shape[1]:
                slots = torch.arange(self._filled[i], self._filled[i] + count, device=x.life.device)
                slots = slots.expand(batch, -1)
                self._filled[i] += count
            else:
                slots = temporary.least_used_first()[:, :count]
            temporary.put(slots, x.where(written, temporary.take(slots)))

    def _write_released(self, new: list[ScaleMemory]) -> None:
        per_frame = [x.life.shape[1] for x in new]
        elements = (self.scales[0].slots(self._permanent[0]).life > 0).sum(1)
        full = elements // per_frame[0] >= self.memory_frames
        for i, x in enumerate(new):
            end = self._permanent[i]
            temporary = ScaleMemory.join(self.scales[i].slots(end), x)
            for clip in torch.nonzero(full).flatten().tolist():
                drop_least_used(temporary, clip, self.memory_frames * per_frame[i])
            # Empty slots move behind the elements, which keep their order, and those that no clip needs are cut off.
            order = (temporary.life == 0).to(torch.uint8).argsort(dim=1, stable=True)
            self._filled[i] = int((temporary.life > 0).sum(1).max())
            temporary = temporary.take(order[:, : self._filled[i]])
            self.scales[i] = ScaleMemory.join(self.scales[i].slots(0, end), temporary)


def _read_guarded(memory: ScaleMemory, own: ScaleMemory, counts: Tensor) -> tuple[MemoryRead, Tensor, Tensor]:
    """Read one scale for a frame with these elements, which a clip without any others reads instead.

    Args:
        memory: the scale's slots.
        own: the elements of the frame that reads.
        counts: (B,), bool: whether each clip's read counts as usage and life. Reads of the frame itself never do.

    Returns:
        the read; the weights to add to the usage, (B, Q, K); and the elements whose life grows by one, (B, N), bool.
    """
    occupied = memory.life > 0
    is_bare = ~occupied.any(1)
    read = read_memory(own.keys, memory.keys, memory.values, memory.lend(own, is_bare))
    memory.take_back(own, is_bare)
    counts = (counts & ~is_bare)[:, None]
    return read, torch.where(counts[:, None], read.weights, 0.0), occupied & counts
