"""The device that a benchmark runs on: chosen, and described for the head of a table."""

from __future__ import annotations

import platform
import sys

import timm
import torch
import torchvision

from lsinet_monai.ops.builds import load_kernels

__all__ = ["describe", "find_device"]


def find_device(name: str) -> torch.device:
    """Return the device of this name, or end the program in one line if PyTorch cannot use it."""
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:  # PyTorch raises AssertionError if it was built without CUDA.
        sys.exit(f"error: PyTorch cannot use --device {name}: {str(error).splitlines()[0]}")
    return torch.device(name)


def describe(device: torch.device) -> str:
    """Name a GPU, or the number of CPU threads, the versions of Python and the libraries, and whose kernels are used.

    Kernels that must be compiled first are compiled here, so that no measurement has to wait.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    versions = f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    kernels = "our kernels" if load_kernels(device.type) else "torchvision's kernels"
    return f"{name}; {versions}, Python {platform.python_version()}; {kernels}"
