"""The kernels' sources, and how they are compiled: for setup.py and for compiling on first use alike.

Only the standard library is imported here, because setup.py reads this file before anything is installed.
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
"""The sources of each kind of device; each becomes a library of its own."""

# The stable ABI of PyTorch 2.11, the oldest version that pyproject.toml allows: what is compiled runs with any later
# one. Use nothing that a later version added; `make check-kernels` compiles with the oldest.
_ABI = "-DTORCH_TARGET_VERSION=0x020b000000000000"

# No -march: what is compiled runs on every processor, and takes its instructions when it is called.
COMPILER_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", _ABI]
CUDA_FLAGS = ["-O3", "-DUSE_CUDA", _ABI]

DEFAULT_CUDA_ARCHITECTURES = "7.5+PTX"
"""What is compiled for where no GPU is there to ask: the driver translates it for every later one."""


def source_folder() -> Path:
    """The folder that the sources lie in."""
    return Path(__file__).parent


def has_program(command: str) -> bool:
    """Whether a command's program is there; a compiler may come with arguments, as in ``CXX="ccache g++"``."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark without its pair
        return False
    return bool(words) and shutil.which(words[0]) is not None


def name_cuda_home() -> None:
    """Name the CUDA toolkit in CUDA_HOME by what nvcc says, unless a person named it.

    Call this before ``torch.utils.cpp_extension`` is imported: PyTorch takes the folder above the nvcc on PATH, where
    neither headers nor libraries are if that nvcc is a script which calls another one.
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
