"""Tests of the bundle run in this process, in an empty folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more do not speed up small tensors, and slow down tests that run in parallel."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(empty_folder: Path) -> None:
    """Run each test in an empty folder."""


@pytest.fixture
def damaged(phantom: Path, empty_folder: Path) -> Path:
    """A copy of the phantom that a test may damage, the folder ``data``."""
    shutil.copytree(phantom, empty_folder / "data")
    return empty_folder / "data"


@pytest.fixture(scope="session")
def released_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with the released names and shapes, for PVTv2-B1."""
    shapes = json.loads((Path(__file__).parents[1] / "parity" / "manifest_pvt_v2_b1.json").read_text())
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    state.update({name: value.abs() + 1 for name, value in state.items() if name.endswith("running_var")})
    path = tmp_path_factory.mktemp("released") / "released.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return path


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """A folder with eight stills, two of them held out by ``held_out.txt``."""
    rng = np.random.default_rng(0)
    for name in "abcdefgh":
        mask = np.zeros((60, 70), np.uint8)
        mask[20:40, 20:50] = 255
        for folder, array in (("images", rng.integers(0, 255, (60, 70, 3), np.uint8)), ("masks", mask)):
            path = tmp_path / "stills" / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    (tmp_path / "held_out.txt").write_text("a validation\nb test\n")
    return tmp_path
