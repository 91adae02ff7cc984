"""The released program's loss, memory read and procedure for a frame, with which the benchmarks compare ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.networks import Features, LSINet
from lsinet_monai.ops.memory_read import MemoryRead

TOP_K = 20


class ReleasedProcedure:
    """The authors' procedure, built from our parts: it has the cost of theirs and the results of ours.

    It encodes each frame twice, as the adjacent and as the current frame, in PyTorch's default layout. It lays out the
    scores as (elements, queries), searches for the best along the elements, and spreads their weights over a matrix of
    the same size. It does not forget: once its memory is full, the authors' program keeps it as it is.
    """

    def __init__(self, network: LSINet) -> None:
        self.network = network
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.usage: list[Tensor] = []
        self.life: list[Tensor] = []

    @torch.no_grad()
    def segment(self, frame: Tensor, adjacent: Tensor, write: bool) -> Tensor:
        """Segment a frame (1, 3, H, W) next to another: the logit (1, 1, h, w) at stride 8."""
        adjacent_features = self.network.encode(adjacent)
        current = self.network.encode(frame)
        read = self.read(current) if self.keys else current.read_own()
        logits = self.network.decode(current, adjacent_features, read)
        if write:
            self.write(current.keys, self.network.values_for_memory(current, logits))
        return logits[-1]

    @torch.no_grad()
    def read(self, current: Features) -> tuple[Tensor, ...]:
        """Read the memory for a frame: per scale (1, C, h, w)."""
        results = []
        for i, query in enumerate(current.keys):
            keys = self.keys[i]
            scores = (2 * keys.t() @ query[0].flatten(1) - keys.square().sum(0).unsqueeze(1)) / keys.shape[0] ** 0.5
            best = scores.topk(min(TOP_K, len(scores)), dim=0)
            weights = torch.zeros_like(scores).scatter_(0, best.indices, best.values.softmax(0))
            self.usage[i] += weights.sum(1)
            self.life[i] += 1
            results.append((self.values[i] @ weights).view(1, -1, *query.shape[-2:]))
        return tuple(results)

    def write(self, keys: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> None:
        """Append a frame's keys and values, per scale (1, C, h, w), to the memory."""
        new_keys, new_values = ([x[0].flatten(1) for x in scales] for scales in (keys, values))
        new_usage = [x.new_zeros(x.shape[1]) for x in new_keys]
        new_life = [x.new_full((x.shape[1],), 1e-7) for x in new_keys]
        if not self.keys:
            self.keys, self.values, self.usage, self.life = new_keys, new_values, new_usage, new_life
            return
        for held, new in (
            (self.keys, new_keys), (self.values, new_values), (self.usage, new_usage), (self.life, new_life),
        ):  # fmt: skip
            held[:] = [torch.cat(pair, -1) for pair in zip(held, new, strict=True)]


def released_loss(logits: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    """Compute the loss as the released program does: it makes the weight again for each output, by a square mean."""

    def one(logit: Tensor) -> Tensor:
        weight = 1 + 5 * torch.abs(F.avg_pool2d(mask, kernel_size=31, stride=1, padding=15) - mask)
        bce = F.binary_cross_entropy_with_logits(logit, mask, reduction="mean")
        bce = (weight * bce).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))
        probability = torch.sigmoid(logit)
        intersection = (probability * mask * weight).sum(dim=(2, 3))
        union = ((probability + mask) * weight).sum(dim=(2, 3))
        return (bce + 1 - (intersection + 1) / (union - intersection + 1)).mean()

    return sum((one(logit) for logit in logits), start=torch.zeros((), device=mask.device))


def released_read(queries: Tensor, keys: Tensor, values: Tensor, *_: Any) -> MemoryRead:
    """Read the memory as the released program does in training, with all scores and a full matrix of weights."""
    scores = (2 * keys @ queries.mT - keys.square().sum(2, keepdim=True)) * keys.shape[2] ** -0.5
    best, indices = scores.topk(min(TOP_K, keys.shape[1]), dim=1)
    weights = best.softmax(1)
    spread = torch.zeros_like(scores).scatter(1, indices, weights)
    return MemoryRead(spread.mT @ values, indices.mT, weights.mT)
