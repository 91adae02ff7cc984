"""Training by two processes, on CPUs: the results are those of one process with the same global batch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from lsinet_monai.data import write_phantom
from tests.preloaded import BUNDLE, Preloaded

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
OPTIONS = {"backbone": "mobilenetv3_small_100", "pretrained": "false", "image_size": 64, "batch_size": 4,
           "max_epochs": 2, "device": "cpu", "num_workers": 0, "validation_fraction": 0.4}  # fmt: skip

# Runs the bundle as the command does, and writes the losses, gradients, parameters and clips of each rank.
WORKER = """
import json, logging, os, sys
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai.engines import IterationEvents
from torch import nn

configs, output, frozen, options = json.loads(sys.argv[1])
rank = int(os.environ.get("RANK", 0))
torch.set_num_threads(1)
compile_step = torch.compile  # traced as for the default backend, which would compile for many minutes
torch.compile = lambda network, **_: compile_step(network, backend="eager")
workflow = ConfigWorkflow(config_file=configs, workflow_type="train", run_id="training", logging_file=False, **options)
workflow.initialize()
get = workflow.parser.get_parsed_content
network, trainer = get("network"), get("train#trainer")
if frozen:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module
seen = {"losses": [], "gradients": None, "frames": 0}

def note_gradients(engine):
    if seen["gradients"] is None:
        seen["gradients"] = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}

trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, note_gradients)
trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen["losses"].append(e.state.output["curves"]))
workflow.run()
seen["state"] = network.state_dict()
seen["validated"] = [clip["clip_id"] for clip in get("validate#dataset").clips]
seen["dice"] = get("validate#evaluator").state.metrics["val_mean_dice"]
seen["training_clips"] = len(get("train_clips"))
torch.save(seen, f"{output}.{rank}")
workflow.finalize()
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of four frames each, so that batches of four are whole."""
    folder = tmp_path_factory.mktemp("clips")
    write_phantom(folder, clips=6, frames=4, size=(72, 90), seed=1)
    return folder


def _train(
    preloaded: Preloaded, clips: Path, folder: Path, ranks: int | None, frozen: bool, **options: Any
) -> list[dict[str, Any]]:
    """Train with a number of ranks, or in one process (None), and return what each process recorded."""
    folder.mkdir()
    names = ["train"] if ranks is None else ["train", "multi_gpu_train"]
    options = {**OPTIONS, "dataset_dir": str(clips), "output_dir": str(folder / "out"),
               "model_file": str(folder / "model.pt"), **options}  # fmt: skip
    configs = [str(CONFIGS / f"{name}.json") for name in names]
    job = json.dumps([configs, str(folder / "seen"), frozen, options])
    results = [preloaded.run(WORKER, job)] if ranks is None else preloaded.run_ranks(ranks, WORKER, job)
    assert all(result.returncode == 0 for result in results), [result.stderr[-3000:] for result in results]
    return [torch.load(folder / f"seen.{rank}", weights_only=True) for rank in range(ranks or 1)]


def test_overlay_changes_only_what_it_must() -> None:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "multi_gpu_train.json")])
    alone = ConfigParser()
    alone.read_config(str(CONFIGS / "train.json"))
    added = ["$import lsinet_monai.workflow as workflow", "$workflow.extends('train.json')"]
    assert parser["initialize"] == [*alone["initialize"], *added]
    for key in ("imports", "train#steps", "train#handlers"):  # the learning rate falls on all ranks
        assert parser[key] == alone[key]
    assert parser["prepare"][: len(alone["prepare"])] == alone["prepare"]
    assert parser["training"] == alone["training"] and parser["run"] == alone["run"]


@pytest.mark.slow
def test_two_ranks_compute_what_one_process_does(preloaded: Preloaded, clips: Path, tmp_path: Path) -> None:
    options = {"drop_path_rate": 0}
    (one,) = _train(preloaded, clips, tmp_path / "one", None, frozen=True, **options)
    two = _train(preloaded, clips, tmp_path / "two", 2, frozen=True, **options)
    assert one["training_clips"] == two[0]["training_clips"]
    for rank in two:
        assert rank["losses"] == two[0]["losses"]  # of the whole batch, on both
        for step, expected in zip(rank["losses"], one["losses"], strict=True):
            assert step == pytest.approx(expected, abs=1e-5)
        for name, gradient in one["gradients"].items():
            assert torch.allclose(rank["gradients"][name], gradient, atol=1e-5, rtol=0), name
        assert rank["dice"] == pytest.approx(one["dice"], abs=1e-3)
    assert len(one["gradients"]) == len(two[0]["gradients"])


@pytest.mark.slow
def test_a_compiled_step_on_two_ranks(preloaded: Preloaded, clips: Path, tmp_path: Path) -> None:
    options = {"drop_path_rate": 0, "max_epochs": 1}
    eager = _train(preloaded, clips, tmp_path / "eager", 2, frozen=True, **options)
    compiled = _train(preloaded, clips, tmp_path / "compiled", 2, frozen=True, compile="true", **options)
    for rank, expected in zip(compiled, eager, strict=True):
        for step, losses in zip(rank["losses"], expected["losses"], strict=True):
            assert step == pytest.approx(losses, rel=1e-4)
        assert rank["gradients"].keys() == expected["gradients"].keys()


@pytest.fixture(scope="module")
def two_ranks(
    preloaded: Preloaded, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Path]:
    """What each of two ranks records in a training that nothing interrupts, and its folder."""
    folder = tmp_path_factory.mktemp("ranks") / "two"
    return _train(preloaded, clips, folder, 2, frozen=False), folder


@pytest.mark.slow
def test_ranks_end_equal_and_the_first_alone_writes(two_ranks: tuple[list[dict[str, Any]], Path]) -> None:
    (first, second), folder = two_ranks
    assert first["state"].keys() == second["state"].keys()
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())
    assert set(first["validated"]).isdisjoint(second["validated"]) and first["validated"] and second["validated"]
    assert first["dice"] == second["dice"]
    files = sorted(path.name.partition(".tfevents")[0] for path in (folder / "out").iterdir())
    assert files == [".training.lock", *["events.out"] * (len(files) - 2), "training_state.pt"]
    writers = {path.name.split(".")[-2] for path in (folder / "out").glob("events.*")}
    assert len(writers) == 1  # the process that wrote it is part of the name


@pytest.mark.slow
@pytest.mark.gpu
def test_gpus_with_synchronised_batchnorm(preloaded: Preloaded, clips: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"drop_path_rate": 0, "max_epochs": 1}
    (one,) = _train(preloaded, clips, tmp_path / "one", None, frozen=False, **options)
    count = max(count for count in (1, 2, 4) if count <= torch.cuda.device_count())  # that share a batch of four
    options |= {"device": "$distributed.local_device()", "sync_batchnorm": True}
    shared = _train(preloaded, clips, tmp_path / "shared", count, frozen=False, **options)
    for rank in shared:
        assert all(torch.equal(value.cpu(), shared[0]["state"][name].cpu()) for name, value in rank["state"].items())
        for step, expected in zip(rank["losses"], one["losses"], strict=True):
            assert step == pytest.approx(expected, rel=0.02)  # GPUs convolve in TF32, which has 11 significant bits


@pytest.mark.slow
def test_a_shared_training_resumes(
    preloaded: Preloaded, clips: Path, two_ranks: tuple[list[dict[str, Any]], Path], tmp_path: Path
) -> None:
    whole, _ = two_ranks
    _train(preloaded, clips, tmp_path / "parts", 2, frozen=False, max_epochs=1)
    (tmp_path / "parts").rename(tmp_path / "before")
    options = {"output_dir": str(tmp_path / "before" / "out"), "resume": True}
    parts = _train(preloaded, clips, tmp_path / "parts", 2, frozen=False, **options)
    steps = len(parts[0]["losses"])
    for rank, expected in zip(parts, whole, strict=True):
        assert rank["losses"] == expected["losses"][-steps:]
        assert all(torch.equal(value, expected["state"][name]) for name, value in rank["state"].items())


# The command's options, and the one line that it ends with. All ranks meet the first two errors before they begin, and
# end themselves.
ERRORS = [
    pytest.param({"batch_size": 3}, "batch_size=3 is shared by 2 processes", False, id="batch"),
    pytest.param({"sync_batchnorm": "true"}, "sync_batchnorm=true needs GPUs", False, id="synchronised BatchNorm"),
    pytest.param({"learning_rate": 1e30}, "training has diverged", True, id="diverged"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "said", "by_torchrun"), ERRORS)
def test_an_error_is_reported_once(
    preloaded: Preloaded, clips: Path, tmp_path: Path, wrong: dict[str, Any], said: str, by_torchrun: bool
) -> None:
    configs = [str(CONFIGS / f"{name}.json") for name in ("train", "multi_gpu_train")]
    options = {**OPTIONS, "dataset_dir": clips, "output_dir": tmp_path / "out", "model_file": tmp_path / "model.pt"}
    flags = [text for name, value in {**options, **wrong}.items() for text in (f"--{name}", str(value))]
    arguments = ["run", "training", "--config_file", str(configs), *flags]
    if by_torchrun:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command += ["monai.bundle", *arguments]
        results = [subprocess.run(command, env=environment, capture_output=True, text=True)]
    else:
        results = preloaded.run_ranks(2, BUNDLE, *arguments)
    assert all(result.returncode != 0 for result in results)
    lines = "".join(result.stderr for result in results).splitlines()
    # PyTorch writes the rank before each line.
    ours = [line for line in lines if re.match(r"(\[rank\d\]: )?error: ", line)]
    assert len(ours) == 1 and said in ours[0], lines[-50:]
