"""Tensors in words, the range of their values, and their indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import FakeTensor

__all__ = ["count_along", "describe", "value_range"]


def count_along(like: Tensor, dim: int) -> Tensor:
    """0, 1, 2, ... along a dimension of a tensor, int64, of its shape.

    Computed from the tensor itself: TorchScript would keep the device of a ``torch.arange`` as a constant, and then run
    only on the device on which it was traced.
    """
    return (like.eq(like) * 0 + 1).cumsum(dim) - 1


def describe(x: Any) -> str:
    """Describe a tensor or an array, such as "tensor uint8 (1, 3, 64, 64)"; anything else by its class."""
    if isinstance(x, Tensor | np.ndarray):
        kind = "tensor" if isinstance(x, Tensor) else "array"
        return f"{kind} {str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
    return type(x).__name__


def value_range(x: Tensor) -> tuple[float, float] | None:
    """Return the lowest and the highest value of a tensor that is not empty.

    On a GPU this waits for all work before it, so a loop over frames must not call it for each of them.

    Returns:
        both values, or None where a tensor has no values yet: while a graph is compiled, exported, traced or captured,
        and on the device "meta".
    """
    # In this order: a compiler follows no further than the first answer.
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or x.is_meta or isinstance(x, FakeTensor):
        return None
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    low, high = torch.stack(torch.aminmax(x.detach().as_subclass(Tensor))).tolist()
    return low, high
