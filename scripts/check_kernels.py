"""Build the kernels with the oldest PyTorch that pyproject.toml allows, and check them with it and with the newest.

    python scripts/check_kernels.py [--python FILE]

1. Make an environment in ``.venv-oldest`` with the oldest PyTorch and Python 3.12, or reuse it.
2. Build the kernels there in a copy of the sources, for the CPU, and for CUDA if there is an nvcc.
3. Run the operators' tests there, with the extension that was built.
4. Run them again with the PyTorch of the environment that runs this script, and the same extension.

The test suite compiles the sources with the newest headers. Run this from the environment of ``make test``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = ROOT / ".venv-oldest"
COPIED = ("lsinet_monai", "tests", "bundle", "apps", "setup.py", "pyproject.toml", "README.md", "LICENSE")
# Compiling in two processes at once does not depend on PyTorch's version, and exports need the newest one.
LEFT_OUT = "two_processes or onnx"
# What tests/conftest.py and the operators' tests import beside the package and its dependencies.
TESTS_NEED = ("pytest", "pytest-xdist", "hypothesis")


def main() -> int:
    """Check, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=find_python(), help="interpreter of the environment that is made")
    python = make_environment(parser.parse_args().python)
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source, copy = ROOT / name, Path(folder, name)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__", "models"))
            else:
                shutil.copy(source, copy)
        run(python, "setup.py", "--quiet", "build_ext", "--inplace", folder=folder)
        built = check_built(Path(folder, "lsinet_monai", "ops"))
        os.environ["LSINET_KERNELS"] = "extension"  # so that a library that does not load is an error
        load = f"from lsinet_monai.ops.builds import load_kernels; assert all(map(load_kernels, {built}))"
        for each in (python, sys.executable):
            run(each, "-c", load, folder=folder)
        tests = ["-m", "pytest", "-q", "--numprocesses=2", "--dist=load", "tests/ops"]
        run(python, *tests, "-k", f"not ({LEFT_OUT})", folder=folder)
        run(sys.executable, *tests, "-m", "not slow", folder=folder)
    return 0


def check_built(folder: Path) -> list[str]:
    """Name the device types whose libraries were built.

    Exits if one is missing although this machine has its compiler: setup.py leaves it out without an error.
    """
    expected = ["cpu", "cuda"] if shutil.which("nvcc") else ["cpu"]
    missing = [device_type for device_type in expected if not list(folder.glob(f"_kernels_{device_type}.*"))]
    if missing:
        sys.exit(
            f"the check of the kernels failed: nothing was built for {', '.join(missing)}. "
            "Does the compiler fit PyTorch's version?"
        )
    return expected


def find_python() -> str:
    """Find Python 3.12, whose environments come without setuptools; without it, the Python that runs this script."""
    candidates = ["python3.12", *map(str, sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python"), reverse=True))]
    for candidate in candidates:
        program = shutil.which(candidate)
        # pyenv may have a script for it that fails, because another version is selected.
        if program and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            return program
    return sys.executable


def make_environment(python: str) -> str:
    """Make an environment with the oldest PyTorch and the newest versions of all else, and return its Python."""
    project = (ROOT / "pyproject.toml").read_text()
    oldest = re.search(r'"torch>=([\d.]+)"', project)
    assert oldest is not None, "pyproject.toml has no lower bound for torch"
    requirements = [f"torch=={oldest[1]}.*", *TESTS_NEED]
    if not (OLDEST / "bin" / "python").exists():
        run(python, "-m", "venv", str(OLDEST))
    in_environment = str(OLDEST / "bin" / "python")
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        package = ["--requirement", str(ROOT / "pyproject.toml")]
        call([str(uv), "pip", "install", "--quiet", "--python", in_environment, *requirements, *package])
    else:
        dependencies = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
        assert dependencies is not None, "pyproject.toml has no dependencies"
        run(
            in_environment,
            "-m",
            "pip",
            "install",
            "--quiet",
            *requirements,
            *re.findall(r'"(.+?)"', dependencies[1]),
        )
    versions = "import sys, torch; print(f'Python {sys.version.split()[0]}, PyTorch {torch.__version__}')"
    run(in_environment, "-c", versions)
    return in_environment


def run(python: str, *arguments: str, folder: str | None = None) -> None:
    """Run a Python program, and exit if it fails."""
    call([python, *arguments], folder)


def call(command: list[str], folder: str | None = None) -> None:
    """Print and run a command, and exit if it fails."""
    print("+", *command, flush=True)
    # The environment's own programs, such as ninja, come first.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    result = subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path})
    if result.returncode:
        sys.exit(f"the check of the kernels failed: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
