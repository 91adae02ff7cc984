from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import cpp_extension

from lsinet_monai.csrc import DEFAULT_CUDA_ARCHITECTURES, SOURCES, has_program, nvcc_release
from lsinet_monai.errors import InputError
from lsinet_monai.ops import builds
from lsinet_monai.ops.builds import VARIABLE, load_kernels

KERNEL_TESTS = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("deform_conv", "memory_read")]

# Runs the operator, forward and backward, on a convolution whose result is known; loads nothing before that.
PROGRAM = """
import logging, sys, torch
from lsinet_monai.ops import deform_conv2d
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
assert not torch._C._dispatch_has_kernel_for_dispatch_key("lsinet_monai::deform_conv2d", "CPU")
x = torch.ones(1, 4, 3, 3, requires_grad=True)
y = deform_conv2d(x, torch.zeros(1, 18, 3, 3), torch.ones(2, 4, 3, 3), padding=1)
y.sum().backward()
assert y[0, 0].tolist() == [[16, 24, 16], [24, 36, 24], [16, 24, 16]], y
assert x.grad[0, 0].tolist() == [[8, 12, 8], [12, 18, 12], [8, 12, 8]], x.grad
"""


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def unchosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Simulate a process that has not called the operator yet, on a machine without any build."""
    monkeypatch.setattr(builds, "loaded", {})
    monkeypatch.setattr(builds, "find_extension", lambda device_type: None)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return monkeypatch


def test_without_a_compiler_torchvision_takes_over(
    unchosen: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unchosen.setattr(shutil, "which", lambda name: None)
    assert not load_kernels("cpu")
    assert not load_kernels("cpu")
    (record,) = [record for record in caplog.records if record.name == builds.__name__]
    assert record.levelno == logging.WARNING
    assert "Install a C++ compiler" in record.getMessage()


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("extension", "no extension was built"),
        ("jit", "there is no C\\+\\+ compiler"),
        ("torch-vision", "give extension, jit, torch, or nothing"),
    ],
)
def test_a_forced_way_that_is_closed_is_an_error(unchosen: pytest.MonkeyPatch, way: str, words: str) -> None:
    unchosen.setattr(shutil, "which", lambda name: None)
    unchosen.setenv(VARIABLE, way)
    with pytest.raises(InputError, match=words):
        load_kernels("cpu")


@pytest.mark.parametrize(
    ("command", "expected"), [("python -c pass", True), ("no-such-compiler -O3", False), ("", False), ('g++ "x', False)]
)
def test_a_compiler_may_come_with_arguments(command: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/python" if name == "python" else None)
    assert has_program(command) is expected


@pytest.mark.required_in_ci
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_a_failed_compile_shows_the_first_error_and_where_the_rest_is(
    unchosen: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for source in SOURCES["cpu"]:
        (tmp_path / source).write_text("not_a_type x;\nnot_one_either y;\n")
    unchosen.setattr(builds, "source_folder", lambda: tmp_path)
    assert not load_kernels("cpu")
    message = caplog.records[-1].getMessage()
    assert re.search(r"\.cpp:1:1: error: .*not_a_type", message)
    assert "Install" not in message  # the compiler is there
    output = Path(re.search(r"whole output: (.*)\)", message)[1]).read_text()
    assert "not_one_either" in output


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("FAILED: a.o\nc++ -c a.cpp\na.cpp:3:9: error: no 'X'\na.cpp:4:9: error: no 'Y'", "a.cpp:3:9: error: no 'X'"),
        ('FAILED: a.o\na.cu(7): error: identifier "X" is undefined', 'a.cu(7): error: identifier "X" is undefined'),
        ("FAILED: a.o\nnvcc fatal   : Unknown option '-x'", "nvcc fatal   : Unknown option '-x'"),
        ("ld: a.o: undefined reference to `f'\ncollect2: error: ld returned 1", "ld: a.o: undefined reference to `f'"),
        ("ld: cannot find -lcudart\ncollect2: error: ld returned 1", "ld: cannot find -lcudart"),
        ("FAILED: a.o\ncc1plus: cannot start\nninja: build stopped.", "cc1plus: cannot start"),
    ],
)
def test_the_first_error_of_each_compiler(
    unchosen: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, output: str, expected: str
) -> None:
    whole = f"Error building extension 'a': [1/2] c++ -o a.o\n{output}"

    def fail(build_directory: str, **_: Any) -> None:
        raise RuntimeError(whole)

    def fail_after_waiting(build_directory: str, **_: Any) -> None:
        """As in a process that waits while another one compiles."""
        Path(build_directory, "compiler_output.txt").write_text(whole)
        raise OSError("a.so: cannot open shared object file")

    unchosen.setattr(builds, "has_program", lambda command: True)
    for compile_and_fail in (fail, fail_after_waiting):
        builds.loaded.clear()
        unchosen.setattr(cpp_extension, "load", compile_and_fail)
        assert not load_kernels("cpu")
        message = caplog.records[-1].getMessage()
        assert f"compiling failed: {expected} (the compiler's whole output: " in message
        assert Path(message.rpartition("whole output: ")[2].rstrip(")")).read_text() == whole


def test_the_extension_that_was_built_is_found() -> None:
    found = {device_type: builds.find_extension(device_type) for device_type in ("cpu", "mps")}
    assert found["mps"] is None
    assert found["cpu"] is None or Path(found["cpu"]).name.startswith("_kernels_cpu.")


@pytest.mark.parametrize(
    ("release", "words"),
    [(None, "no CUDA compiler, nvcc"), ("12.4", "nvcc is of CUDA 12.4, and PyTorch of CUDA 13.0")],
)
def test_another_cuda_toolkit_is_named(unchosen: pytest.MonkeyPatch, release: str | None, words: str) -> None:
    unchosen.setattr(torch.version, "cuda", "13.0")
    unchosen.setattr(builds, "nvcc_release", lambda cuda_home: release)
    unchosen.setattr(builds, "has_program", lambda command: True)
    unchosen.setenv(VARIABLE, "jit")
    with pytest.raises(InputError, match=f"{words}. Install the CUDA toolkit 13.0"):
        load_kernels("cuda")


def test_without_setuptools_the_advice_is_to_install_it(unchosen: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "setuptools"]:
        unchosen.delitem(sys.modules, name)
    unchosen.setitem(sys.modules, "setuptools", None)
    unchosen.delitem(sys.modules, "torch.utils.cpp_extension", raising=False)
    unchosen.delattr(torch.utils, "cpp_extension", raising=False)
    unchosen.setenv(VARIABLE, "jit")
    with pytest.raises(InputError, match="Install setuptools"):
        load_kernels("cpu")


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_compiler_that_does_not_run_is_no_end(
    unchosen: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    write_program(tmp_path / "bin" / "c++", "exit 1")
    unchosen.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    assert not load_kernels("cpu")
    assert "compiling failed" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("is_program", [True, False])
def test_an_nvcc_that_does_not_run_is_none(is_program: bool, tmp_path: Path) -> None:
    assert nvcc_release(None) is None
    assert nvcc_release(str(tmp_path)) is None
    write_program(tmp_path / "bin" / "nvcc", "exit 1")
    if not is_program:
        (tmp_path / "bin" / "nvcc").chmod(0o644)
    assert nvcc_release(str(tmp_path)) is None


def test_other_devices_are_torchvision_s(unchosen: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert not load_kernels("mps")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
@pytest.mark.required_in_ci
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    environment = {VARIABLE: "jit", "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    processes = [start(["-c", PROGRAM], **environment) for _ in range(2)]
    for process in processes:
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert output.count("Compiling kernels for cpu, once") == 1
    process = start(["-c", PROGRAM], **environment)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "Compiling" not in output
    assert output.count("kernels on cpu: jit") == 1


@pytest.mark.slow
@pytest.mark.required_in_ci
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_cuda_sources_compile(tmp_path: Path) -> None:
    program = """
import torch
from lsinet_monai.ops.builds import load_kernels
assert load_kernels("cuda")
for name in ("deform_conv2d", "deform_conv2d_backward"):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"lsinet_monai::{name}", "CUDA")
"""
    environment = {VARIABLE: "jit", "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    if "TORCH_CUDA_ARCH_LIST" not in os.environ:
        environment["TORCH_CUDA_ARCH_LIST"] = DEFAULT_CUDA_ARCHITECTURES
    process = start(["-c", program], **environment)
    output = process.communicate()[0]
    assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{VARIABLE: "torch"}, {"ATEN_CPU_CAPABILITY": "avx2"}, {"ATEN_CPU_CAPABILITY": "default"}],
    ids=["torch", "avx2", "baseline"],
)
def test_every_kernel_is_as_the_reference(environment: dict[str, str]) -> None:
    """In a new process, because a process cannot unload kernels."""
    selection = "as_the_reference or any_strides"
    process = start(
        ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", selection, *KERNEL_TESTS], **environment
    )
    output = process.communicate()[0]
    assert process.returncode == 0, output
