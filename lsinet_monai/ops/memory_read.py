"""The read of a memory: for each query, the best matching elements and the sum of their values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MemoryRead", "read_memory"]

# Scores are made for this many queries at a time, so that (queries, elements) never exists as a whole: with 35 frames
# of 352x352 in memory that would be 0.5 GB at stride 8.
QUERY_CHUNK = 256


class MemoryRead(NamedTuple):
    """What a read gives: its result, and which elements it took, for the bookkeeping of usage."""

    values: Tensor
    """(B, Q, C): for each query the weighted sum of values."""
    indices: Tensor
    """(B, Q, K), int64: the elements that each query read."""
    weights: Tensor
    """(B, Q, K): the weight of each of them; they sum to 1 over K."""


def read_memory(
    queries: Tensor, keys: Tensor, values: Tensor, occupied: Tensor | None = None, top_k: int = 20
) -> MemoryRead:
    r"""Read the values of the ``top_k`` best matching elements for each query.

    The score of element n for query q is the negative squared Euclidean distance of their keys, up to a term that is
    the same for all elements, :math:`(2\, k_n \cdot q - |k_n|^2) / \sqrt{C_k}`. The weights are the softmax over the
    best ``top_k`` scores; all elements are read where there are fewer. Differentiable in queries, keys and values.

    Args:
        queries: (B, Q, C_k), the keys of the positions that read.
        keys: (B, N, C_k), the elements' keys.
        values: (B, N, C), the elements' values.
        occupied: (B, N), bool: which of the N slots hold an element; all if not given. Each row needs one at least.
        top_k: how many elements each query reads at most.

    Source: LSI-Net (SALI), MICCAI 2024, Long-term Interaction Module; the score is STCN's (Cheng et al., 2021).
    """
    top_k = min(top_k, keys.shape[1])
    scale = keys.shape[2] ** -0.5
    keys_t = keys.transpose(1, 2)
    bias = -scale * keys.square().sum(2).unsqueeze(1)
    if occupied is not None:
        bias = bias.masked_fill(~occupied.unsqueeze(1), -torch.inf)
    best = [
        torch.baddbmm(bias, chunk, keys_t, alpha=2 * scale).topk(top_k, dim=2)
        for chunk in queries.split(QUERY_CHUNK, dim=1)
    ]
    scores = torch.cat([scores for scores, _ in best], 1)
    indices = torch.cat([indices for _, indices in best], 1)
    weights = scores.softmax(2)
    batch, channels = values.shape[0], values.shape[2]
    gathered = values.gather(1, indices.flatten(1).unsqueeze(2).expand(-1, -1, channels))
    read = torch.einsum("bqk,bqkc->bqc", weights, gathered.view(batch, -1, top_k, channels))
    return MemoryRead(read, indices, weights)
