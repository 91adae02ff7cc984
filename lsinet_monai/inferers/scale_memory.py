"""The memory's elements of one scale: keys, values, usage and life in slots."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ScaleMemory", "drop_least_used"]

# The life of an element before its first read. An empty slot has life 0.
NEW = 1e-7


@dataclass
class ScaleMemory:
    """The elements of one scale, in N slots for each of B clips. A slot with life 0 is empty."""

    keys: Tensor
    """(B, N, 4), floating-point."""
    values: Tensor
    """(B, N, 16), floating-point, weighted by the mask of their frame."""
    usage: Tensor
    """(B, N), float32: the sum of the weights that the element had in reads."""
    life: Tensor
    """(B, N), float32: the number of reads since the element was written."""

    @classmethod
    def new(cls, keys: Tensor, values: Tensor) -> ScaleMemory:
        """New elements, with usage 0 and a life just above 0, of keys (B, N, 4) and values (B, N, 16)."""
        usage = keys.new_zeros(keys.shape[:2], dtype=torch.float32)
        return cls(keys, values, usage, torch.full_like(usage, NEW))

    @classmethod
    def join(cls, *parts: ScaleMemory) -> ScaleMemory:
        """Concatenate the slots of several parts, which have the same B."""
        return cls(*(torch.cat(x, 1) for x in zip(*(part.tensors() for part in parts), strict=True)))

    def empty(self, slots: int) -> ScaleMemory:
        """A new memory with this number of empty slots, for the same clips and with the same types of tensors."""
        return ScaleMemory(*(x.new_zeros(x.shape[0], slots, *x.shape[2:]) for x in self.tensors()))

    def tensors(self) -> tuple[Tensor, ...]:
        """Keys (B, N, 4), values (B, N, 16), usage (B, N) and life (B, N)."""
        return self.keys, self.values, self.usage, self.life

    def slots(self, start: int, stop: int | None = None) -> ScaleMemory:
        """A view of the slots from ``start`` up to but without ``stop``; up to the last one if not given."""
        return ScaleMemory(*(x[:, start:stop] for x in self.tensors()))

    def take(self, slots: Tensor) -> ScaleMemory:
        """Copy the slots with these indices, (B, M), int64, in this order."""
        return ScaleMemory(
            *(
                x.gather(1, slots if x.ndim == 2 else slots.unsqueeze(2).expand(-1, -1, x.shape[2]))
                for x in self.tensors()
            )
        )

    def where(self, condition: Tensor, other: ScaleMemory) -> ScaleMemory:
        """These elements for the clips where the condition (B,), bool, holds, and the other's for the rest."""
        return ScaleMemory(
            *(
                torch.where(condition[:, None] if x.ndim == 2 else condition[:, None, None], x, y)
                for x, y in zip(self.tensors(), other.tensors(), strict=True)
            )
        )

    def put(self, slots: Tensor, new: ScaleMemory) -> None:
        """Overwrite the slots with these indices, (B, M), int64, by M new elements, in place."""
        for x, y in zip(self.tensors(), new.tensors(), strict=True):
            x.scatter_(1, slots if x.ndim == 2 else slots.unsqueeze(2).expand_as(y), y.to(x.dtype))

    def lend(self, own: ScaleMemory, to: Tensor) -> Tensor:
        """Put a frame's own elements into the first slots of some clips, for one read. :meth:`take_back` ends it.

        Args:
            own: the elements of the frame that reads.
            to: (B,), bool: the clips, none of which has an element.

        Returns:
            (B, N), bool: the slots that hold an element.
        """
        first = self.slots(0, own.life.shape[1])
        own = own.slots(0, self.life.shape[1])
        for x, y in ((first.keys, own.keys), (first.values, own.values)):
            x.copy_(torch.where(to[:, None, None], y, x))
        is_lent = torch.zeros_like(self.life, dtype=torch.bool)
        is_lent[:, : own.life.shape[1]] = to[:, None]
        return (self.life > 0) | is_lent

    def take_back(self, own: ScaleMemory, from_: Tensor) -> None:
        """End what :meth:`lend` began, with the same arguments: these slots are zero again."""
        first = self.slots(0, own.life.shape[1])
        for x in (first.keys, first.values):
            x.masked_fill_(from_[:, None, None], 0)

    def least_used_first(self) -> Tensor:
        """The indices of all slots, (B, N), int64: empty ones first, then by usage / life; in a tie the older first."""
        by_age = self.life.argsort(dim=1, descending=True, stable=True)
        ratio = torch.where(self.life > 0, self.usage / self.life, -1.0)
        return by_age.gather(1, ratio.gather(1, by_age).argsort(dim=1, stable=True))


def drop_least_used(scale: ScaleMemory, clip: int, limit: int) -> None:
    """Empty the least used slots of one clip, down to a limit, and all slots that tie with the last of these."""
    life = scale.life[clip]
    ratio = torch.where(life > 0, scale.usage[clip] / life, torch.inf)
    surplus = int((life > 0).sum()) - limit
    if surplus > 0:
        largest_dropped = ratio.kthvalue(surplus).values
        dropped = ratio <= largest_dropped
        scale.life[clip, dropped] = 0
        scale.usage[clip, dropped] = 0
