"""The read of a memory: for each query, the best matching elements and the sum of their values."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .builds import load_kernels

__all__ = ["MemoryRead", "read_memory"]

# How many scores exist at a time: what stays in a CPU's caches, and what keeps a GPU busy. All (queries, elements) of
# them would be 0.5 GB at stride 8 with 35 frames of 352x352 in memory.
SCORES_AT_A_TIME = {"cpu": 2**20, "cuda": 2**26}

# The search for the best scores looks at the maxima of blocks of this many first.
BLOCK = 16

torch.library.define(
    "lsinet_monai::search_memory",
    "(Tensor queries, Tensor keys, Tensor? occupied, int top_k) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


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
    dtype = torch.promote_types(keys.dtype, torch.float32)  # half precision would match other elements
    queries, keys = queries.to(dtype), keys.to(dtype)
    # Detached, because what is traced holds no torch.no_grad().
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
    # What is exported is to run where this package is not.
    exports = torch.compiler.is_exporting() or torch.jit.is_tracing()
    if keys.is_cpu and keys.dtype == torch.float32 and not exports:
        return torch.ops.lsinet_monai.search_memory(queries, keys, occupied, top_k)
    return _search_blocks(queries, keys, occupied, top_k)


@torch.library.register_fake("lsinet_monai::search_memory")
def _fake(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    return queries.new_empty(*queries.shape[:2], top_k, dtype=torch.int64)


@torch.library.impl("lsinet_monai::search_memory", "default")
def _search_before_kernels(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    """Load the kernels, of which one then is called in place of this function; or do without."""
    if load_kernels(keys.device.type):
        return torch.ops.lsinet_monai.search_memory(queries, keys, occupied, top_k)
    return _search_blocks(queries, keys, occupied, top_k)


def _search_blocks(queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int) -> Tensor:
    """Search with PyTorch's operators.

    The best lie in the ``top_k`` blocks of elements with the highest maxima: were one outside, each of those blocks
    would hold a better one. So the scores are needed for these maxima alone, and are made anew in the blocks chosen.
    """
    bias = -keys.square().sum(2)
    if occupied is not None:
        bias = bias.masked_fill(~occupied, torch.finfo(bias.dtype).min)
    # With a 1 behind each query a score is one dot product, up to a factor that changes no order.
    queries = F.pad(queries, (0, 1), value=1.0)
    elements = torch.cat([keys.transpose(1, 2) * 2, bias.unsqueeze(1)], 1)
    batch, channels, count = elements.shape
    # A block is every n-th element, so that the maxima of all are found side by side. What is missing for whole blocks
    # has a score of -inf, below that of an empty slot.
    blocks = -(-count // BLOCK)
    padding = elements.new_zeros(batch, channels, blocks * BLOCK - count)
    padding[:, -1] = -torch.inf
    elements = torch.cat([elements, padding], 2)

    chunk = SCORES_AT_A_TIME.get(keys.device.type, 2**20) // elements[:, 0].numel()
    chunk = min(max(chunk, 1), queries.shape[1])
    # One buffer for all chunks: on a CPU, fresh memory for each would take longer than to fill it.
    buffer = queries.new_empty(batch * chunk * elements.shape[2])
    maxima = []
    for part in queries.split(chunk, 1):
        shape = batch, part.shape[1], elements.shape[2]
        scores = torch.bmm(part, elements, out=buffer[: math.prod(shape)].view(shape))
        maxima.append(scores.unflatten(2, (BLOCK, blocks)).amax(2))
    best = _top_k(torch.cat(maxima, 1), min(top_k, blocks))

    rows = elements.unflatten(2, (BLOCK, blocks)).permute(0, 3, 1, 2).flatten(0, 1)
    chosen = (best + blocks * _count(best[:, :1, :1], 0)).flatten()
    near = rows.index_select(0, chosen).unflatten(0, best.shape)
    scores = (near * queries[:, :, None, :, None]).sum(3)
    inside = scores.flatten(2).topk(top_k, sorted=False).indices
    # Where scores are NaN any block is as good as the others, that of what is missing too.
    return (best.gather(2, inside // BLOCK) + blocks * (inside % BLOCK)).clamp_(max=count - 1)


def _top_k(x: Tensor, top_k: int) -> Tensor:
    """The indices of ``x.topk(top_k, sorted=False)``, in less time where rows are long: by maxima of blocks, too."""
    blocks = x.shape[2] // BLOCK
    if blocks <= top_k:
        return x.topk(top_k, sorted=False).indices
    whole = blocks * BLOCK
    best = _top_k(x[:, :, :whole].unflatten(2, (BLOCK, blocks)).amax(2), top_k)
    positions = _count(x[:1, :1], 2)
    inside = best.unsqueeze(3) + positions[:, :, None, :whole:blocks]
    beyond = positions[:, :, whole:].expand(*x.shape[:2], -1)
    candidates = torch.cat([inside.flatten(2), beyond], 2)
    return candidates.gather(2, x.gather(2, candidates).topk(top_k, sorted=False).indices)


def _count(like: Tensor, dim: int) -> Tensor:
    """0, 1, 2, ... along a dimension of a tensor, int64, of its shape.

    Made from the tensor itself: TorchScript would keep the device of a ``torch.arange`` as a constant, and run on no
    other one than that on which it was traced.
    """
    return (like.eq(like) * 0 + 1).cumsum(dim) - 1
