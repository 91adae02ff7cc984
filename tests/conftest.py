"""Shared by all tests: the real frames, a small network, and the markers ``gpu`` and ``required_in_ci``."""

from __future__ import annotations

import gc
import importlib.util
import os

# Tests run in one process per core; more threads would only compete for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from filelock import FileLock

if TYPE_CHECKING:  # PyTorch and MONAI take seconds to import, and the process that distributes the tests needs neither
    from monai.bundle import ConfigWorkflow

    from lsinet_monai.networks import LSINet
    from tests.preloaded import Preloaded

# No test may fail because a machine is slow, or because it drew other cases than the time before.
hypothesis.settings.register_profile("lsinet_monai", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("lsinet_monai")

SHARED = Path(__file__).parents[2] / "shared"
CONFIGS = Path(__file__).parents[1] / "bundle" / "configs"

# The bundle's commands: their config files, and options that keep a run short.
COMMANDS = {"training": ["train"], "run": ["train"], "evaluating": ["train", "evaluate"], "inference": ["inference"]}
SMALL_TRAINING = {
    "backbone": "mobilenetv3_small_100", "pretrained": False, "image_size": 64, "batch_size": 4, "max_epochs": 2,
}  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With LSINET_REQUIRE_ALL=1, report a skipped test with the marker ``required_in_ci`` as failed."""
    report = yield
    is_required = item.get_closest_marker("required_in_ci") and os.environ.get("LSINET_REQUIRE_ALL") == "1"
    if is_required and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"LSINET_REQUIRE_ALL=1 is set, and this test was skipped: {reason}"
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test with the marker ``gpu`` where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU is at hand")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the demo's training, for which other tests wait, and meanwhile with the bundle's long tests."""
    demo, bundle = Path(__file__).parent / "test_demo.py", Path(__file__).parent / "bundle"
    items.sort(key=lambda item: (item.path != demo, bundle not in item.path.parents))


def pytest_collection_finish() -> None:
    """Let the garbage collector skip what was imported; it would look at all of it again and again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Undo the above: some libraries report what is left at the end."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def deadline() -> int:
    """The seconds after which a test that still waits has failed: many more than the slowest machine needs."""
    return 1200


@pytest.fixture(scope="session")
def wait_until(deadline: int) -> Callable[[Callable[[], Any]], None]:
    """Wait until a condition holds, such as ``wait_until(lambda: job.state == "done")``."""

    def wait(condition: Callable[[], Any]) -> None:
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """Runs programs in processes of their own that need not import PyTorch and MONAI first."""
    from tests.preloaded import Preloaded

    server = Preloaded()
    yield server
    server.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of CVC-ClinicDB, real frames in SUN-SEG's layout."""
    folder = Path(os.environ.get("LSINET_DATA", SHARED / "data")) / "CVC-ClinicDB"
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}; LSINET_DATA names its parent folder")
    return folder


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    """The module that makes the tests' videos."""
    spec = importlib.util.spec_from_file_location("video_recipe", Path(__file__).parent / "data/video/recipe.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """``demo/tests/model.pt``, the small network of ``make demo-phantom`` after one epoch of three, and its phantom.

    What is missing of the two is made here, in about two minutes of one core. What is there is used as it is.
    """
    root = Path(__file__).parents[1]
    model = root / "demo" / "tests" / "model.pt"
    with FileLock(Path(tempfile.gettempdir()) / "lsinet_monai_demo.lock"):
        if not (model.exists() and (model.parent / "phantom").is_dir()):
            command = [sys.executable, "scripts/demo_phantom.py", "--for-tests"]
            subprocess.run(command, cwd=root, check=True)  # on one core, as all tests, which use the others
    return model


@pytest.fixture(scope="session")
def onnx_step(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file of the streaming step of ``demo_model``, which writes every second frame to a memory of three.

    All processes of the tests share it: its export takes most of a minute.
    """
    pytest.importorskip("onnxscript")
    from lsinet_monai.export import StreamingStep, export_network
    from lsinet_monai.networks import load_checkpoint

    folder = tmp_path_factory.getbasetemp()
    file = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "step.onnx"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            network, image_size = load_checkpoint(demo_model)
            export_network(StreamingStep(network, image_size, memory_interval=2, memory_frames=3), image_size, file)
    return file


@pytest.fixture(scope="session")
def make_small_network() -> Callable[..., LSINet]:
    """Make a network in evaluation mode. All weights are random, also those that normally start at zero.

    Otherwise neither alignment nor attention would influence the masks.
    """
    import torch

    from lsinet_monai.networks import LSINet

    def make(backbone: str, mask_embedding: bool = False, prompt_head: bool = False) -> LSINet:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # what PyTorch initialises is the same in each run, too
            network = LSINet(backbone, drop_path_rate=0.0, mask_embedding=mask_embedding, prompt_head=prompt_head)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                if parameter.ndim > 1:
                    parameter.copy_(noise / parameter[0].numel() ** 0.5)
                else:
                    parameter.add_(0.05 * noise)
        return network.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def small_network(make_small_network: Callable[..., LSINet]) -> LSINet:
    """A small network of the default backbone's family, PVTv2-B0."""
    return make_small_network("pvt_v2_b0")


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, and undo what a run of the bundle changes in the process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture(scope="session")
def run() -> Callable[..., ConfigWorkflow]:
    """Run a command of the bundle as ``python -m monai.bundle run`` does, small, with config keys as arguments."""
    from monai.bundle import ConfigWorkflow

    def run_bundle(command: str, **options: Any) -> ConfigWorkflow:
        small = SMALL_TRAINING if command in ("training", "run") else {}
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / f"{name}.json") for name in COMMANDS[command]],
            workflow_type="infer" if command == "inference" else "train",
            run_id=command,
            logging_file=False,
            **{"device": "cpu", "num_workers": 0, **small, **options},
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow

    return run_bundle


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of three frames: four of three patients to train on, one held out."""
    from lsinet_monai.data import write_phantom

    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, clips=5, frames=3, size=(72, 90), seed=1)
    return folder


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of ours; the image size is not square, the backbone not the one of train.json."""
    import torch

    from lsinet_monai.networks import LSINet, save_model

    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    save_model(LSINet("mobilenetv3_small_100", drop_path_rate=0.0), path, [64, 96])
    return path
