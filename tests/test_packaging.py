"""The wheel, and what runs from it without a compiler and without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version
from PIL import Image

from lsinet_monai.data import frames_to_tensor, phantom_clip
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.networks import LSINet, load_checkpoint, save_model
from lsinet_monai.utils.shipped_model import LICENCE_FILE, MODEL_FILE, is_shipped_model

ROOT = Path(__file__).parents[1]
NEEDED = ["LICENSE", "README.md", "pyproject.toml", "setup.py", "lsinet_monai", "bundle", "apps"]
NO_COMPILER = {"CXX": "no-such-compiler", "LSINET_KERNELS": "torch"}

pytestmark = [pytest.mark.slow, pytest.mark.required_in_ci]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as ``pip wheel .`` makes it, from a copy of the tree, so that the tree does not change."""
    pytest.importorskip("pip")
    if Version(version("setuptools")) < Version("77"):  # not imported here, where distutils may be already
        pytest.skip("setuptools 77 or later is needed to build")
    tree, wheels = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheels")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(ROOT / name, tree)
    for name in ("model_2026-01-01_120000.pt", "patients.pt"):
        (tree / "bundle" / "models" / name).write_bytes(b"of patients")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(wheels), "."], cwd=tree, env=os.environ | NO_COMPILER, check=True)
    (file,) = wheels.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with only the content of the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _run(installed: Path, folder: Path, *arguments: str) -> str:
    """Run Python in a folder with the wheel's package."""
    environment = os.environ | NO_COMPILER | {"PYTHONPATH": str(installed)}
    result = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_holds_sources_bundle_and_app_and_nothing_of_a_user(installed: Path) -> None:
    package = installed / "lsinet_monai"
    for folder, inside in (("lsinet_monai/csrc", "csrc"), ("bundle", "bundle"), ("apps", "apps")):
        files = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.*") if path.is_file()}
        found = {path.relative_to(package / inside) for path in (package / inside).rglob("*.*")}
        wanted = {path for path in files if path.suffix in (".cpp", ".cu", ".h", ".json", ".conf", ".js", ".html")}
        assert wanted <= found, folder
    assert [path.relative_to(package / "bundle").as_posix() for path in package.rglob("*.pt")] == [MODEL_FILE]
    assert is_shipped_model(package / "bundle" / MODEL_FILE) and (package / "bundle" / LICENCE_FILE).is_file()
    assert not list(package.rglob("*.so"))
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"lsinet_monai"}


def test_it_infers_with_a_copied_bundle(installed: Path, tmp_path: Path) -> None:
    frames = [frame for frame, _ in phantom_clip(3, (64, 80), seed=1)]
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number}.png")
    save_model(LSINet("mobilenetv3_small_100", drop_path_rate=0.0), tmp_path / "model.pt", [64, 96])

    assert _run(installed, tmp_path, "-m", "lsinet_monai", "copy", "bundle", "mine") == "mine\n"
    _run(
        installed, tmp_path, "-m", "monai.bundle", "run", "inference", "--config_file", "mine/configs/inference.json",
        "--input", "frames", "--checkpoint", "model.pt", "--output_dir", "out", "--device", "cpu",
        "--write_overlay", "false",
    )  # fmt: skip
    network, image_size = load_checkpoint(tmp_path / "model.pt")
    logits = SequentialVideoInferer()(frames_to_tensor(frames, image_size)[None], network)
    maps = np.stack([np.array(Image.open(tmp_path / "out" / "maps" / "frames" / f"{i}.png")) for i in range(3)])
    assert maps.shape == (3, 64, 80)
    assert abs(maps.mean() / 255 - float(logits.sigmoid().mean())) < 0.01


def test_a_copied_label_app_takes_the_packages_bundle(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("monailabel")
    _run(installed, tmp_path, "-m", "lsinet_monai", "copy", "label", "app")
    program = "import main; print(main._BUNDLE, main.LSINetLabel.__name__, sep='\\n')"
    *_, folder, name = _run(installed, tmp_path / "app", "-c", program).splitlines()
    assert Path(folder).samefile(installed / "lsinet_monai" / "bundle")
    assert name == "LSINetLabel"
