"""The memory bank: keys, values, usage and life of earlier frames' positions. It has no parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks.lsinet import Features
from lsinet_monai.networks.memory import to_elements
from lsinet_monai.ops import read_memory

__all__ = ["Forgetting", "MemoryBank"]

Forgetting = Literal["usage", "released"]

# The life of an element that no read has met; it is what tells an element from an empty slot, whose life is 0.
NEW = 1e-7


@dataclass
class ScaleMemory:
    """The elements of one scale, N slots for each of B clips; a slot whose life is 0 is empty."""

    keys: Tensor
    """(B, N, 4)."""
    values: Tensor
    """(B, N, 16), weighted by the mask of their frame."""
    usage: Tensor
    """(B, N): the sum of the weights that reads gave the element."""
    life: Tensor
    """(B, N): how many reads there have been since it was written."""

    @classmethod
    def empty(cls, keys: Tensor, values: Tensor, slots: int) -> ScaleMemory:
        batch = keys.shape[0]
        usage = keys.new_zeros(batch, slots, dtype=torch.float32)
        keys, values = keys.new_zeros(batch, slots, keys.shape[2]), values.new_zeros(batch, slots, values.shape[2])
        return cls(keys, values, usage, torch.zeros_like(usage))

    @classmethod
    def new(cls, keys: Tensor, values: Tensor) -> ScaleMemory:
        """Elements as they are written: usage 0 and next to no life."""
        usage = keys.new_zeros(keys.shape[:2], dtype=torch.float32)
        return cls(keys, values, usage, torch.full_like(usage, NEW))

    def tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]

    def first(self, slots: int) -> ScaleMemory:
        """A view of the first slots."""
        return ScaleMemory(*(x[:, :slots] for x in self.tensors()))

    def take(self, slots: Tensor) -> ScaleMemory:
        """The slots (B, M) of each clip, in this order."""
        return ScaleMemory(
            *(
                x.gather(1, slots if x.ndim == 2 else slots.unsqueeze(2).expand(-1, -1, x.shape[2]))
                for x in self.tensors()
            )
        )

    def put(self, slots: Tensor, new: ScaleMemory) -> None:
        """Overwrite the slots (B, M) of each clip, in place."""
        for x, y in zip(self.tensors(), new.tensors(), strict=True):
            x.scatter_(1, slots if x.ndim == 2 else slots.unsqueeze(2).expand_as(y), y)

    def least_used_first(self) -> Tensor:
        """All slots of each clip (B, N), by usage / life, and the older first where that is equal."""
        by_age = self.life.argsort(dim=1, descending=True, stable=True)
        ratio = self.usage / self.life
        return by_age.gather(1, ratio.gather(1, by_age).argsort(dim=1, stable=True))


class MemoryBank:
    """What a clip leaves behind for its later frames, per scale (strides 8, 16, 32), for a batch of clips.

    Every position of a frame that is written becomes an element with a key and a value. Every read adds to each
    element's *usage* the sum of the weights that all queries gave it, and 1 to its *life*. The bank holds no
    parameters and no time: whoever runs a clip decides when to read and when to write. It records no gradients.

    Args:
        memory_frames: how many frames' worth of elements are kept per scale.
        forgetting: what makes room once they are full.

            - ``"usage"``: a new frame takes the places of as many old elements, those with the least usage per life,
              and the older of two that were used alike. A new frame is always kept and is judged only at later
              writes, when reads have had the chance to use it; what is read often stays however old it is. So the
              bank never freezes, never exceeds its limit, and the cost of a read is constant.
            - ``"released"``: the authors' program, for comparison. If scale 0 held ``memory_frames`` frames' worth
              or more before a write, each scale drops, after it, the least used elements beyond the limit, and all
              that tie with the last of them. What has just been written has no usage and goes with them: after about
              ``memory_frames`` writes nothing new is ever kept.

    Source: LSI-Net (SALI), MICCAI 2024, Long-term Interaction Module; usage after XMem (Cheng and Schwing, ECCV 2022).
    """

    def __init__(self, memory_frames: int = 35, forgetting: Forgetting = "usage") -> None:
        if memory_frames < 1:
            raise InputError(f"memory_frames must be 1 or more, got {memory_frames}")
        if forgetting not in get_args(Forgetting):
            raise InputError(f"forgetting must be one of {get_args(Forgetting)}, got {forgetting!r}")
        self.memory_frames = memory_frames
        self.forgetting = forgetting
        self.scales: list[ScaleMemory] = []
        # How many slots may hold elements; the slots behind them are empty for every clip.
        self._filled: list[int] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written yet."""
        return not self.scales

    @property
    def sizes(self) -> Tensor:
        """(B, 3), int64, on the CPU: the number of elements per clip and scale."""
        if self.is_empty:
            return torch.zeros(0, 3, dtype=torch.int64)
        return torch.stack([(scale.life > 0).sum(1) for scale in self.scales], 1).cpu()

    @torch.no_grad()
    def read(self, features: Features) -> tuple[Tensor, ...]:
        """Read for every position of a frame, and record what was used.

        Args:
            features: the frame that reads, of a batch of B frames, one of each clip.

        Returns:
            three of (B, 16, h, w). While the bank is empty the frame reads itself, and nothing is recorded.
        """
        if self.is_empty:
            return features.read_own()
        results = []
        for scale, filled, query in zip(self.scales, self._filled, features.keys, strict=True):
            memory = scale.first(filled)
            occupied = memory.life > 0
            read = read_memory(to_elements(query), memory.keys, memory.values, occupied)
            memory.usage.scatter_add_(1, read.indices.flatten(1), read.weights.flatten(1).to(memory.usage.dtype))
            memory.life.add_(occupied.to(memory.life.dtype))
            results.append(read.values.transpose(1, 2).unflatten(2, query.shape[-2:]))
        return tuple(results)

    @torch.no_grad()
    def write(self, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        """Add all positions of a frame, and forget what no longer fits.

        Args:
            keys: three of (B, 4, h, w), those that the frame has read with.
            values: three of (B, 16, h, w), weighted by the frame's mask.
        """
        new = [ScaleMemory.new(to_elements(k), to_elements(v)) for k, v in zip(keys, values, strict=True)]
        if self.forgetting == "released":
            self._write_released(new)
        else:
            self._write_over_least_used(new)

    def _write_over_least_used(self, new: list[ScaleMemory]) -> None:
        if self.is_empty:
            self.scales = [ScaleMemory.empty(x.keys, x.values, self.memory_frames * x.life.shape[1]) for x in new]
            self._filled = [0] * len(new)
        for i, (scale, x) in enumerate(zip(self.scales, new, strict=True)):
            batch, count = x.life.shape
            if self._filled[i] < scale.life.shape[1]:
                slots = torch.arange(self._filled[i], self._filled[i] + count, device=x.life.device)
                slots = slots.expand(batch, -1)
                self._filled[i] += count
            else:
                slots = scale.least_used_first()[:, :count]
            scale.put(slots, x)

    def _write_released(self, new: list[ScaleMemory]) -> None:
        per_frame = [x.life.shape[1] for x in new]
        if self.is_empty:
            self.scales, self._filled = new, per_frame
            return
        full = self.sizes[:, 0] // per_frame[0] >= self.memory_frames
        for i, x in enumerate(new):
            joined = [torch.cat(pair, 1) for pair in zip(self.scales[i].tensors(), x.tensors(), strict=True)]
            scale = ScaleMemory(*joined)
            for clip in torch.nonzero(full).flatten().tolist():
                _drop_least_used(scale, clip, self.memory_frames * per_frame[i])
            # Empty slots go behind the elements, which keep their order, and are cut off where no clip needs them.
            order = (scale.life == 0).to(torch.uint8).argsort(dim=1, stable=True)
            self._filled[i] = int((scale.life > 0).sum(1).max())
            self.scales[i] = scale.take(order[:, : self._filled[i]])


def _drop_least_used(scale: ScaleMemory, clip: int, limit: int) -> None:
    """Empty, in place, the slots of one clip beyond a limit, least used first, and all that tie with the last."""
    life = scale.life[clip]
    ratio = torch.where(life > 0, scale.usage[clip] / life, torch.inf)
    surplus = int((life > 0).sum()) - limit
    if surplus > 0:
        largest_dropped = ratio.kthvalue(surplus).values
        dropped = ratio <= largest_dropped
        scale.life[clip, dropped] = 0
        scale.usage[clip, dropped] = 0
