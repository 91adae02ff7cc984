"""The memory read: for each query the weighted sum of the values of the best matching elements."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.ops.builds import load_kernels
from lsinet_monai.utils.tensors import count_along

__all__ = ["MemoryRead", "read_memory"]

# The number of scores to compute at a time: few enough for a CPU's caches, and enough to keep a GPU busy. All scores
# together, (queries, elements), would take 0.5 GB at stride 8 with 35 frames of 352 x 352 in memory.
SCORES_AT_A_TIME = {"cpu": 2**20, "cuda": 2**26}

# The search for the best scores compares the maxima of blocks of this size first.
BLOCK = 16

torch.library.define(
    "lsinet_monai::search_memory",
    "(Tensor queries, Tensor keys, Tensor? occupied, int top_k) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


class MemoryRead(NamedTuple):
    """The result of a read, and the elements that it used."""

    values: Tensor
    """(B, Q, C): the weighted sum of values for each query."""
    indices: Tensor
    """(B, Q, K), int64: the elements that each query read."""
    weights: Tensor
    """(B, Q, K): the weights of these elements; they sum to 1 over K."""


def read_memory(
    queries: Tensor, keys: Tensor, values: Tensor, occupied: Tensor | None = None, top_k: int = 20
) -> MemoryRead:
    r"""Read the values of the ``top_k`` best matching elements for each query.

    The score of element n for query q is the negative squared Euclidean distance of their keys, up to a term that is
    the same for all elements, :math:`(2\, k_n \cdot q - |k_n|^2) / \sqrt{C_k}`. The weights are the softmax over the
    best ``top_k`` scores, or over all scores if there are fewer. Differentiable in queries, keys and values.

    Args:
        queries: (B, Q, C_k), the keys of the positions that read.
        keys: (B, N, C_k), the elements' keys.
        values: (B, N, C), the elements' values.
        occupied: (B, N), bool: which of the N slots hold an element; all if not given. Each row needs at least one.
        top_k: the largest number of elements that a query reads.

    Source: LSI-Net (SALI), MICCAI 2024, Long-term Interaction Module, with the score of STCN (Cheng et al., 2021).
    """
    dtype = torch.promote_types(keys.dtype, torch.float32)  # In half precision other elements would match best.
    queries, keys = queries.to(dtype), keys.to(dtype)
    # Detached, because a traced graph does not keep torch.no_grad().
    indices = _search(queries.detach(), keys.detach(), occupied, min(top_k, keys.shape[1]))

    def gather(x: Tensor) -> Tensor:
        index = indices.flatten(1).unsqueeze(2).expand(-1, -1, x.shape[2])
        return x.gather(1, index).unflatten(1, indices.shape[1:])

    near_keys = gather(keys)
    scores = (2 * (near_keys * queries.unsqueeze(2)).sum(3) - near_keys.square().sum(3)) * keys.shape[2] ** -0.5
    if occupied is not None:
        scores = scores.masked_fill(~gather(occupied.unsqueeze(2)).squeeze(3), -torch.inf)
    weights = scores.softmax(2)
    return MemoryRead((weights.unsqueeze(3) * gather(values)).sum(2), indices, weights)


@torch.no_grad()
def _search(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    """Find the ``top_k`` elements with the highest scores for each query: (B, Q, K), int64, in no order."""
    # Exported files run without this package.
    exports = torch.compiler.is_exporting() or torch.jit.is_tracing()
    if keys.is_cpu and keys.dtype == torch.float32 and not exports:
        return torch.ops.lsinet_monai.search_memory(queries, keys, occupied, top_k)
    return _search_blocks(queries, keys, occupied, top_k)


@torch.library.register_fake("lsinet_monai::search_memory")
def _fake(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    return queries.new_empty(*queries.shape[:2], top_k, dtype=torch.int64)


@torch.library.impl("lsinet_monai::search_memory", "default")
def _search_before_kernels(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    """Load the kernels and call the one that then replaces this function; without kernels use PyTorch's operators."""
    if load_kernels(keys.device.type):
        return torch.ops.lsinet_monai.search_memory(queries, keys, occupied, top_k)
    return _search_blocks(queries, keys, occupied, top_k)


def _search_blocks(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    """Search with PyTorch's operators.

    The best elements lie in the ``top_k`` blocks with the highest maxima: for an element outside, each of those blocks
    holds a better one. So all scores are computed once for the maxima, and again for the chosen blocks.
    """
    bias = -keys.square().sum(2)
    if occupied is not None:
        bias = bias.masked_fill(~occupied, torch.finfo(bias.dtype).min)
    # With a 1 appended to each query a score is one dot product, up to a factor that does not change the order.
    queries = F.pad(queries, (0, 1), value=1.0)
    elements = torch.cat([keys.transpose(1, 2) * 2, bias.unsqueeze(1)], 1)
    batch, channels, count = elements.shape
    # A block is every n-th element, so that one reduction finds the maxima of all blocks. Elements that pad the last
    # blocks have a score of -inf, below that of an empty slot.
    blocks = -(-count // BLOCK)
    padding = elements.new_zeros(batch, channels, blocks * BLOCK - count)
    padding[:, -1] = -torch.inf
    elements = torch.cat([elements, padding], 2)

    chunk = SCORES_AT_A_TIME.get(keys.device.type, 2**20) // elements[:, 0].numel()
    chunk = min(max(chunk, 1), queries.shape[1])
    # One buffer for all chunks: on a CPU, allocating memory for each would take longer than filling it.
    buffer = queries.new_empty(batch * chunk * elements.shape[2])
    maxima = []
    for part in queries.split(chunk, 1):
        shape = batch, part.shape[1], elements.shape[2]
        scores = torch.bmm(part, elements, out=buffer[: math.prod(shape)].view(shape))
        maxima.append(scores.unflatten(2, (BLOCK, blocks)).amax(2))
    best = _top_k(torch.cat(maxima, 1), min(top_k, blocks))

    rows = elements.unflatten(2, (BLOCK, blocks)).permute(0, 3, 1, 2).flatten(0, 1)
    chosen = (best + blocks * count_along(best[:, :1, :1], 0)).flatten()
    near = rows.index_select(0, chosen).unflatten(0, best.shape)
    scores = (near * queries[:, :, None, :, None]).sum(3)
    inside = scores.flatten(2).topk(top_k, sorted=False).indices
    # If scores are NaN any element may be chosen, padding too, whose index would be out of range.
    return (best.gather(2, inside // BLOCK) + blocks * (inside % BLOCK)).clamp_(max=count - 1)


def _top_k(x: Tensor, top_k: int) -> Tensor:
    """The indices of ``x.topk(top_k, sorted=False)``, by maxima of blocks, which is faster for long rows."""
    blocks = x.shape[2] // BLOCK
    if blocks <= top_k:
        return x.topk(top_k, sorted=False).indices
    whole = blocks * BLOCK
    best = _top_k(x[:, :, :whole].unflatten(2, (BLOCK, blocks)).amax(2), top_k)
    positions = count_along(x[:1, :1], 2)
    inside = best.unsqueeze(3) + positions[:, :, None, :whole:blocks]
    beyond = positions[:, :, whole:].expand(*x.shape[:2], -1)
    candidates = torch.cat([inside.flatten(2), beyond], 2)
    return candidates.gather(2, x.gather(2, candidates).topk(top_k, sorted=False).indices)
