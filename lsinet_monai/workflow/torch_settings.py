"""What a training sets in PyTorch: seeds, how exactly a GPU computes, and whether a step is compiled."""

from __future__ import annotations

import os
from importlib.util import find_spec
from shutil import which
from typing import Any

import torch
from monai.utils import set_determinism

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool

__all__ = ["check_compile", "set_up_torch"]


def check_compile(compile_step: Any, device: torch.device | str) -> bool:
    """Read the switch ``compile``, and check whether ``torch.compile`` has what it needs, before a training begins.

    Args:
        compile_step: whether a training step is to be compiled.
        device: where it runs.

    Returns:
        the switch.

    Raises:
        InputError: the switch is neither true nor false, there is no compiler, or on a GPU no Triton.
    """
    if not as_bool(compile_step, "compile"):
        return False
    on_gpu = torch.device(device).type == "cuda"
    language, variable, usual = "C++", "CXX", ("c++", "g++", "clang++", "cl")
    if on_gpu:
        language, variable, usual = "C", "CC", ("cc", "gcc", "clang", "cl")
    own = os.environ.get(variable, "").split()[:1]
    if not any(map(which, (*own, *usual))):
        raise InputError(
            f"compile=true needs a {language} compiler, and there is none: install one, or give --compile false"
        )
    if on_gpu and find_spec("triton") is None:
        raise InputError("compile=true needs Triton on a GPU: pip install triton, or give --compile false")
    return True


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
