"""Build the compiled kernels, and pack the bundle and the label app into the package.

pyproject.toml declares everything else.

Kernels are built ahead of time if PyTorch can be imported and a compiler exists. That needs a build without isolation:
`pip install --no-build-isolation .` or `python setup.py build_ext --inplace`. Otherwise the sources are installed and
compiled on first use. FORCE_CUDA=1 builds the CUDA kernels without a check for nvcc; FORCE_CUDA=0 leaves them out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
from lsinet_monai.csrc import (
    COMPILER_FLAGS,
    CUDA_FLAGS,
    DEFAULT_CUDA_ARCHITECTURES,
    SOURCES,
    has_program,
    name_cuda_home,
    nvcc_release,
)
from lsinet_monai.utils.packaging import SHIPPED, shipped_files


class BuildWithShipped(build_py):
    """Copy the bundle and the label app, which are next to the package in the repository, into the built package."""

    def _shipped(self) -> dict[str, str]:
        """The copied files: destination to source."""
        files = [file for name in SHIPPED for file in shipped_files(name, Path())]
        return {str(Path(self.build_lib, "lsinet_monai", file)): str(file) for file in files}

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._shipped().values()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        shipped = {} if self.editable_mode else self._shipped()
        return [*super().get_outputs(include_bytecode), *shipped]

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the package stays in the repository
            return
        for to, file in self._shipped().items():
            self.mkpath(str(Path(to).parent))
            self.copy_file(file, to, preserve_mode=False)


def builds_cuda() -> bool:
    """Whether nvcc exists, with the major CUDA version that PyTorch was built with."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if "FORCE_CUDA" in os.environ:
        return os.environ["FORCE_CUDA"] == "1"
    release = nvcc_release(CUDA_HOME)
    if torch.version.cuda is None or release is None:
        return False
    return release.split(".")[0] == torch.version.cuda.split(".")[0]


def kernels() -> dict[str, Any]:
    """The arguments of setup() that build the kernels; empty if they cannot be built."""
    name_cuda_home()
    try:
        import torch
        from torch.utils.cpp_extension import BuildExtension, CppExtension, CUDAExtension, get_cxx_compiler
    except ImportError:
        return {}
    if sys.platform == "win32" or torch.version.hip or not has_program(get_cxx_compiler()):
        return {}

    def extension(kind: type, device_type: str) -> Any:
        return kind(
            f"lsinet_monai.ops._kernels_{device_type}",
            [f"lsinet_monai/csrc/{source}" for source in SOURCES[device_type]],
            extra_compile_args={"cxx": COMPILER_FLAGS, "nvcc": CUDA_FLAGS},
            py_limited_api=True,  # the kernels do not use Python, so one build serves every version
        )

    extensions = [extension(CppExtension, "cpu")]
    if builds_cuda():
        if not torch.cuda.is_available():
            os.environ.setdefault("TORCH_CUDA_ARCH_LIST", DEFAULT_CUDA_ARCHITECTURES)
        extensions.append(extension(CUDAExtension, "cuda"))
    return {
        "ext_modules": extensions,
        "cmdclass": {"build_ext": BuildExtension},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


settings = kernels()
setup(**{**settings, "cmdclass": {"build_py": BuildWithShipped, **settings.get("cmdclass", {})}})
