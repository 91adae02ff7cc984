"""A tiny phantom, and the bundle run in this process, in an empty folder."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from lsinet_monai.data import write_phantom
from lsinet_monai.networks import LSINet, save_checkpoint

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
VERBS = {"training": ["train"], "run": ["train"], "evaluating": ["train", "evaluate"], "inference": ["inference"]}
SMALL = {
    "training": {
        "backbone": "mobilenetv3_small_100", "pretrained": False, "image_size": 64, "batch_size": 4, "max_epochs": 2,
    },
}  # fmt: skip
SMALL["run"] = SMALL["training"]

Run = Callable[..., ConfigWorkflow]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, which stand in each other's way where tests run in parallel."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, and undo what a run changes in the process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a verb of the bundle as ``python -m monai.bundle run`` does, small, with config keys as arguments."""

    def run_bundle(verb: str, **options: Any) -> ConfigWorkflow:
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / f"{name}.json") for name in VERBS[verb]],
            workflow_type="infer" if verb == "inference" else "train",
            run_id=verb,
            logging_file=False,
            **{"device": "cpu", "num_workers": 0, **SMALL.get(verb, {}), **options},
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow

    return run_bundle


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of three frames: four of three patients to train on, one held out."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, clips=5, frames=3, size=(72, 90), seed=1)
    return folder


@pytest.fixture
def damaged(phantom: Path, empty_folder: Path) -> Path:
    """A copy of the phantom that a test may damage, the folder ``data``."""
    shutil.copytree(phantom, empty_folder / "data")
    return empty_folder / "data"


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of ours; the image size is not square, the backbone not the one of train.json."""
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    save_checkpoint(path, LSINet("mobilenetv3_small_100", drop_path_rate=0.0), [64, 96])
    return path


@pytest.fixture(scope="session")
def released_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with the released names and shapes, for PVTv2-B1."""
    shapes = json.loads((Path(__file__).parents[1] / "parity" / "manifest_pvt_v2_b1.json").read_text())
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    state.update({name: value.abs() + 1 for name, value in state.items() if name.endswith("running_var")})
    path = tmp_path_factory.mktemp("released") / "released.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return path
