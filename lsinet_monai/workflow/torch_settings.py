"""What a training sets in PyTorch: seeds, and how exactly a GPU computes."""

from __future__ import annotations

from typing import Any

import torch
from monai.utils import set_determinism

from lsinet_monai.utils.config_values import as_bool

__all__ = ["set_up_torch"]


def set_up_torch(seed: int, deterministic: Any = False, tf32: Any = None) -> None:
    """Seed the generators of random numbers of Python, NumPy and PyTorch, and say how a GPU computes.

    Args:
        seed: the seed.
        deterministic: whether convolutions on a GPU use algorithms that give equal results in each run. The others are
            faster, and cuDNN tries which is the fastest for each shape.
        tf32: whether float32 convolutions and matrix products on a GPU may round their factors to TF32 (10 bits), which
            is faster. By default convolutions may, and matrix products may not, as in PyTorch.

    Raises:
        InputError: a switch is neither true nor false.
    """
    is_exact = as_bool(deterministic, "deterministic")
    set_determinism(seed)
    torch.backends.cudnn.deterministic = is_exact
    torch.backends.cudnn.benchmark = not is_exact
    if tf32 is not None:
        allow = as_bool(tf32, "tf32")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allow
