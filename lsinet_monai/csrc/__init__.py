"""The kernels' sources and compiler flags, for setup.py and for compiling on first use.

This file imports only the standard library: setup.py reads it before anything is installed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

__all__ = [
    "COMPILER_FLAGS",
    "CUDA_FLAGS",
    "DEFAULT_CUDA_ARCHITECTURES",
    "SOURCES",
    "has_program",
    "name_cuda_home",
    "nvcc_release",
    "source_folder",
]

SOURCES = {
    "cpu": [
        "deform_conv_cpu.cpp",
        "memory_search_cpu.cpp",
        "cpu_baseline.cpp",
        "cpu_avx2.cpp",
        "cpu_avx512.cpp",
    ],
    "cuda": ["deform_conv_cuda.cu"],
}
"""The source files by device type. Each device type becomes one library."""

# The stable ABI of PyTorch 2.11, the oldest version that pyproject.toml allows: what is compiled runs with any later
# one. Use nothing that a later version added; `make check-kernels` compiles with the oldest.
_ABI = "-DTORCH_TARGET_VERSION=0x020b000000000000"

# No -march: the library runs on every processor, and chooses its instruction set at run time.
COMPILER_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", _ABI]
CUDA_FLAGS = ["-O3", "-DUSE_CUDA", _ABI]

DEFAULT_CUDA_ARCHITECTURES = "7.5+PTX"
"""The architecture to compile for without a GPU to ask. The driver translates it for later GPUs."""


def source_folder() -> Path:
    """The folder of the sources."""
    return Path(__file__).parent


def has_program(command: str) -> bool:
    """Whether the program of a command exists. A compiler may have arguments, as in ``CXX="ccache g++"``."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark without its pair
        return False
    return bool(words) and shutil.which(words[0]) is not None


def name_cuda_home() -> None:
    """Set CUDA_HOME to the toolkit that nvcc reports, unless a person has set it.

    Call this before the import of ``torch.utils.cpp_extension``. PyTorch takes the folder above the nvcc on PATH. If
    that nvcc is a script that calls another one, that folder has neither headers nor libraries.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None or "CUDA_HOME" in os.environ or "CUDA_PATH" in os.environ:
        return
    command = [nvcc, "--dryrun", "-c", "-x", "cu", os.devnull, "-o", os.devnull]
    try:
        settings = subprocess.run(command, capture_output=True, text=True).stderr
    except OSError:  # nvcc is not a program
        return
    top = re.search(r"^#\$ TOP=(.+)$", settings, re.MULTILINE)
    if top is not None:
        os.environ["CUDA_HOME"] = str(Path(top[1]).resolve())


def nvcc_release(cuda_home: str | None) -> str | None:
    """The release of a CUDA toolkit's nvcc, such as "13.0"; None without a toolkit or without its nvcc."""
    nvcc = None if cuda_home is None else Path(cuda_home, "bin", "nvcc")
    if nvcc is None:
        return None
    try:
        output = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    except OSError:  # it is missing, or not a program
        return None
    release = re.search(r"release (\d+\.\d+)", output)
    return release[1] if release else None
