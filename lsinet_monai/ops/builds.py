"""Find the compiled kernels: built ahead of time, or compiled on first use. Without them PyTorch's operators run."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import torch

from lsinet_monai.csrc import (
    COMPILER_FLAGS,
    CUDA_FLAGS,
    SOURCES,
    has_program,
    name_cuda_home,
    nvcc_release,
    source_folder,
)
from lsinet_monai.errors import InputError

__all__ = ["VARIABLE", "find_extension", "load_kernels"]

VARIABLE = "LSINET_KERNELS"
"""The environment variable that forces one of :data:`WAYS`."""

WAYS = ("extension", "jit", "torch")

LOG_NAME = "compiler_output.txt"
"""The file in the build folder that keeps a failed compiler's whole output."""

logger = logging.getLogger(__name__)

loaded: dict[str, bool] = {}
"""Whether kernels are loaded, by kind of device: what :func:`load_kernels` found in this process so far."""

_lock = threading.Lock()


class _UnavailableError(Exception):
    """One way to get the kernels is not available. The message says why, and ``advice`` what a person can do."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


def load_kernels(device_type: str) -> bool:
    """Load the compiled kernels for one kind of device.

    The first call tries in this order: the extension that was built when the package was installed; compiling the
    sources, which PyTorch keeps in its cache of extensions; doing without. The log says which one was taken.
    Several processes and threads may call this at once.

    Args:
        device_type: "cpu", "cuda", ...

    Returns:
        True if kernels are loaded. If False, call PyTorch's and torchvision's own operators.

    Raises:
        InputError: the environment variable LSINET_KERNELS forces a way that is unknown or not available.
    """
    with _lock:
        if device_type not in loaded:
            loaded[device_type] = _load(device_type)
        return loaded[device_type]


def _load(device_type: str) -> bool:
    forced = os.environ.get(VARIABLE, "")
    if forced and forced not in WAYS:
        raise InputError(f"{VARIABLE}={forced} is not known: give {', '.join(WAYS)}, or nothing")
    if device_type not in SOURCES or forced == "torch":
        logger.info("kernels on %s: PyTorch's and torchvision's own", device_type)
        return False
    closed: list[_UnavailableError] = []
    for way, load in (("extension", _load_extension), ("jit", _compile_and_load)):
        if forced not in ("", way):
            continue
        try:
            path = load(device_type)
        except _UnavailableError as error:
            if forced:
                advice = f". {error.advice}" if error.advice else ""
                raise InputError(f"{VARIABLE}={forced}, but {error}{advice}") from error
            closed.append(error)
        else:
            logger.info("kernels on %s: %s, %s", device_type, way, path)
            return True
    logger.warning(
        "kernels on %s: PyTorch's and torchvision's own, which are slower: %s%s",
        device_type,
        "; ".join(map(str, closed)),
        "".join(f". {error.advice}" for error in closed if error.advice),
    )
    return False


def _load_extension(device_type: str) -> str:
    path = find_extension(device_type)
    if path is None:
        raise _UnavailableError("no extension was built when the package was installed")
    try:
        torch.ops.load_library(path)
    except OSError as error:
        raise _UnavailableError(f"{path} does not load: {error}", "Install the package again") from error
    return path


def find_extension(device_type: str) -> str | None:
    """Find the extension that was built when the package was installed.

    Args:
        device_type: "cpu" or "cuda".

    Returns:
        The path of the library, or None if it was not built.
    """
    spec = importlib.util.find_spec(f"lsinet_monai.ops._kernels_{device_type}")
    return None if spec is None else spec.origin


def _compile_and_load(device_type: str) -> str:
    if sys.platform == "win32" or torch.version.hip:
        raise _UnavailableError("the sources are written for GCC, Clang and nvcc")
    wanted = torch.version.cuda or ""
    if device_type == "cuda":
        if not wanted:
            raise _UnavailableError("this PyTorch was built without CUDA")
        name_cuda_home()
    # Imported here because most processes never compile, and this import searches for a CUDA toolkit.
    try:
        from torch.utils import cpp_extension
    except ImportError as error:
        advice = "Install setuptools" if error.name in ("setuptools", "distutils") else ""
        raise _UnavailableError(f"PyTorch cannot compile extensions ({error})", advice) from error
    if not has_program(cpp_extension.get_cxx_compiler()):
        raise _UnavailableError("there is no C++ compiler", "Install a C++ compiler for the faster ones")
    if device_type == "cuda":
        release = nvcc_release(cpp_extension.CUDA_HOME)
        advice = f"Install the CUDA toolkit {wanted}, or name its folder in CUDA_HOME, for the faster ones"
        if release is None:
            raise _UnavailableError("there is no CUDA compiler, nvcc", advice)
        if release.split(".")[0] != wanted.split(".")[0]:
            raise _UnavailableError(f"nvcc is of CUDA {release}, and PyTorch of CUDA {wanted}", advice)

    # The package requires ninja, but if Python is called by its path, the folder of its scripts may not be on PATH.
    before = {name: os.environ.get(name) for name in ("PATH", "LC_ALL")}
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), sysconfig.get_path("scripts")])
    os.environ["LC_ALL"] = "C"  # the compiler's errors are searched for English words
    name = _library_name(device_type)
    build_folder = None
    try:
        cpp_extension.verify_ninja_availability()
        build_folder = Path(cpp_extension._get_build_directory(name, verbose=False))
        library = build_folder / f"{name}.so"
        if not library.exists():
            (build_folder / LOG_NAME).unlink(missing_ok=True)  # of an earlier attempt
            # Shown by default, because a silent wait looks like a hang.
            logger.warning(
                "Compiling kernels for %s, once, into %s; this takes up to a minute.", device_type, build_folder
            )
        cpp_extension.load(
            name=name,
            sources=[str(source_folder() / source) for source in SOURCES[device_type]],
            extra_cflags=COMPILER_FLAGS,
            extra_cuda_cflags=CUDA_FLAGS,
            build_directory=str(build_folder),
            is_python_module=False,
        )
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        raise _UnavailableError(_explain_failure(str(error), build_folder)) from error
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value
    return str(library)


def _library_name(device_type: str) -> str:
    """Name the library after its sources and PyTorch's version, so that environments do not overwrite one another."""
    digest = hashlib.sha256(f"{torch.__version__} {COMPILER_FLAGS} {CUDA_FLAGS}".encode())
    if device_type == "cuda":
        # Machines that share a home folder may have other GPUs.
        gpus = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
        digest.update(os.environ.get("TORCH_CUDA_ARCH_LIST", str(sorted(gpus))).encode())
    for file in sorted(source_folder().glob("*.*")):
        digest.update(file.read_bytes())
    return f"lsinet_monai_kernels_{device_type}_{digest.hexdigest()[:12]}"


def _explain_failure(message: str, build_folder: Path | None) -> str:
    """Say why compiling failed, by the compiler's first error.

    Args:
        message: PyTorch's error. It contains the compiler's output if the compiler ran.
        build_folder: the folder for that output, in the file :data:`LOG_NAME`; None if there is no such folder.
    """
    first = (message.splitlines() or ["without a message"])[0]
    if build_folder is None:  # ninja is missing, or the folder cannot be made
        return f"compiling failed: {first}"
    log = build_folder / LOG_NAME
    if _BUILD_FAILED in message:
        try:
            log.write_text(message)
        except OSError as error:  # such as a full disk; the compiler's error matters more
            return f"compiling failed: {_first_error(message)} (the rest could not be kept: {error})"
    elif log.exists() and not list(build_folder.glob("*.so")):  # another process compiled while this one waited
        message = log.read_text()
    else:
        return f"compiling failed: {first}"
    return f"compiling failed: {_first_error(message)} (the compiler's whole output: {log})"


# What PyTorch puts before the output of ninja and the compiler.
_BUILD_FAILED = "Error building extension"

# GCC and Clang write "file:1:2: error: ...", nvcc "file(1): error: ..." or "nvcc fatal : ...".
_COMPILER_ERROR = re.compile(
    r"^.*(?:\berror\s*:|\bfatal\s*:|undefined reference|: cannot find ).*$", re.MULTILINE | re.IGNORECASE
)


def _first_error(output: str) -> str:
    if match := _COMPILER_ERROR.search(output):
        return match[0].strip()
    # If the compiler cannot start, its error has another form. It is the last line that ninja did not write.
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("ninja: ")]
    return lines[-1] if lines else output
