"""How the compiled kernels are found: built ahead of time, compiled on first use, or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import sys
import sysconfig
import threading

import torch

from lsinet_monai.csrc import (
    COMPILER_FLAGS,
    CUDA_FLAGS,
    SOURCES,
    has_program,
    name_cuda_home,
    source_folder,
)
from lsinet_monai.errors import InputError

__all__ = ["VARIABLE", "load_kernels"]

VARIABLE = "LSINET_KERNELS"
"""The environment variable that forces one way: extension, jit or torch."""

WAYS = ("extension", "jit", "torch")

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_has_kernels: dict[str, bool] = {}


class _UnavailableError(Exception):
    """One way to the kernels is closed; the message says why."""


def load_kernels(device_type: str) -> bool:
    """Load the compiled kernels for one kind of device.

    The ways are tried in this order, in the first call: the extension that was built when the package was installed;
    compiling the sources, which PyTorch keeps in its cache of extensions; doing without. Which one was taken is logged.
    Several processes and threads may call this at once.

    Args:
        device_type: "cpu", "cuda", ...

    Returns:
        whether kernels are loaded; if not, PyTorch's and torchvision's own operators are to be called.

    Raises:
        InputError: the environment variable LSINET_KERNELS forces a way that does not exist or is closed.
    """
    with _lock:
        if device_type not in _has_kernels:
            _has_kernels[device_type] = _load(device_type)
        return _has_kernels[device_type]


def _load(device_type: str) -> bool:
    forced = os.environ.get(VARIABLE, "")
    if forced and forced not in WAYS:
        raise InputError(f"{VARIABLE}={forced} is not known: give {', '.join(WAYS)}, or nothing")
    if device_type not in SOURCES or forced == "torch":
        logger.info("kernels on %s: PyTorch's and torchvision's own", device_type)
        return False
    reasons = []
    for way, load in (("extension", _load_extension), ("jit", _compile_and_load)):
        if forced not in ("", way):
            continue
        try:
            path = load(device_type)
        except _UnavailableError as error:
            if forced:
                raise InputError(f"{VARIABLE}={forced}, but {error}") from error
            reasons.append(str(error))
        else:
            logger.info("kernels on %s: %s, %s", device_type, way, path)
            return True
    tools = "a C++ compiler" if device_type == "cpu" else "the CUDA toolkit of PyTorch's version"
    logger.warning(
        "kernels on %s: PyTorch's and torchvision's own, which are slower: %s. Install %s for the faster ones.",
        device_type,
        "; ".join(reasons),
        tools,
    )
    return False


def _load_extension(device_type: str) -> str:
    spec = importlib.util.find_spec(f"lsinet_monai.ops._kernels_{device_type}")
    if spec is None or spec.origin is None:
        raise _UnavailableError("no extension was built when the package was installed")
    try:
        torch.ops.load_library(spec.origin)
    except OSError as error:
        raise _UnavailableError(f"{spec.origin} does not load: {error}") from error
    return spec.origin


def _compile_and_load(device_type: str) -> str:
    if device_type == "cuda":
        name_cuda_home()
    # Imported here because most processes never compile, and this import looks for a CUDA toolkit.
    from torch.utils import cpp_extension

    if sys.platform == "win32" or torch.version.hip:
        raise _UnavailableError("the sources are written for GCC, Clang and nvcc")
    if not has_program(cpp_extension.get_cxx_compiler()):
        raise _UnavailableError("there is no C++ compiler")
    if device_type == "cuda" and (cpp_extension.CUDA_HOME is None or torch.version.cuda is None):
        raise _UnavailableError("there is no CUDA compiler, nvcc")

    folder = source_folder()
    digest = hashlib.sha256(f"{torch.__version__} {COMPILER_FLAGS} {CUDA_FLAGS}".encode())
    if device_type == "cuda":
        # Machines that share a home folder may have other GPUs.
        gpus = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
        digest.update(os.environ.get("TORCH_CUDA_ARCH_LIST", str(sorted(gpus))).encode())
    for file in sorted(folder.glob("*.*")):
        digest.update(file.read_bytes())
    # Another version of the sources or of PyTorch gets a library of its own, beside those of other environments.
    name = f"lsinet_monai_kernels_{device_type}_{digest.hexdigest()[:12]}"
    path_variable = os.environ.get("PATH", "")
    try:
        # ninja comes with the package, but a Python that is called by its path does not have its scripts on PATH.
        os.environ["PATH"] = os.pathsep.join([path_variable, sysconfig.get_path("scripts")])
        cpp_extension.verify_ninja_availability()
        build_folder = cpp_extension._get_build_directory(name, verbose=False)
        path = os.path.join(build_folder, f"{name}.so")
        if not os.path.exists(path):
            # Shown by default, because a wait without a word looks like a hang.
            logger.warning(
                "Compiling kernels for %s, once, into %s; this takes up to a minute.", device_type, build_folder
            )
        cpp_extension.load(
            name=name,
            sources=[str(folder / source) for source in SOURCES[device_type]],
            extra_cflags=COMPILER_FLAGS,
            extra_cuda_cflags=CUDA_FLAGS,
            build_directory=build_folder,
            is_python_module=False,
        )
    except (RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _UnavailableError(f"compiling failed ({reason}); {VARIABLE}=jit shows all of it") from error
    finally:
        os.environ["PATH"] = path_variable
    return path
