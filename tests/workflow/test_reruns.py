"""One workflow, kept in a process, for many inputs."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import MemoryBank
from lsinet_monai.workflow.reruns import run_with

CONFIG = Path(__file__).parents[2] / "bundle" / "configs" / "inference.json"
INPUTS = ["one_frame", "three_frames", "two_clips", "another_size"]


def _contents(folder: Path | str) -> dict[str, bytes]:
    """The content of each file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def _count(kind: type) -> int:
    # Not isinstance(), which makes lazy objects of libraries load, and warn.
    return sum(issubclass(type(candidate), kind) for candidate in gc.get_objects())


def _process_size() -> tuple[int, int]:
    """Count open files, and resident memory in bytes; zeros without /proc."""
    if not Path("/proc/self/statm").exists():
        return 0, 0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def options(model_file: Path) -> dict[str, Any]:
    """Pieces of two frames, so that the inferer has to carry its memory on within a clip."""
    return {"checkpoint": str(model_file), "device": "cpu", "num_workers": 0, "piece_frames": 2}


@pytest.fixture
def workflow(options: dict[str, Any]) -> ConfigWorkflow:
    return ConfigWorkflow(config_file=str(CONFIG), workflow_type="inference", logging_file=False, **options)


@pytest.fixture
def inputs(phantom: Path, empty_folder: Path) -> list[str]:
    """Folders of frames in the current one, which differ in number, length and size."""
    first, second = sorted((phantom / "TrainDataset" / "Frame").iterdir())[:2]
    for folder, case, frames in (
        ("one_frame", first, 1),
        ("three_frames", first, 3),
        ("two_clips/a", second, 3),
        ("two_clips/b", first, 2),
        ("another_size", second, 2),
    ):
        Path(folder).mkdir(parents=True)
        for path in sorted(case.iterdir())[:frames]:
            shutil.copy(path, folder)
    for path in Path("another_size").iterdir():
        Image.open(path).resize((66, 100)).save(path)
    return INPUTS


@pytest.mark.slow
def test_each_of_50_runs_is_that_of_a_fresh_workflow(
    run: Callable[..., Any], workflow: ConfigWorkflow, options: dict[str, Any], inputs: list[str]
) -> None:
    for name in inputs:
        run("inference", input=name, output_dir=f"fresh/{name}", **options)
    expected = {name: _contents(f"fresh/{name}") for name in inputs}
    assert {len(files) for files in expected.values()} == {4, 6, 8, 14}  # per frame two, per clip two

    gc.collect()
    gc.disable()  # a run must free its objects without the garbage collector
    try:
        for number in range(50):
            name = inputs[number % len(inputs)]
            run_with(workflow, input=name, output_dir=f"out/{number}")
            assert _contents(f"out/{number}") == expected[name], number
            if number == 4:
                tensors, path, (files, memory) = _count(torch.Tensor), list(sys.path), _process_size()
        assert _count(torch.Tensor) == tensors
        assert _count(MemoryBank) == 0
        assert sys.path == path
        files_after, memory_after = _process_size()
        assert files_after <= files
        assert memory_after - memory < 100e6
    finally:
        gc.enable()


@pytest.mark.slow
def test_nothing_is_parsed_or_built_twice(
    workflow: ConfigWorkflow, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow.parser["input"], workflow.parser["output_dir"] = inputs[0], "out/first"
    workflow.initialize()
    network, inferer = workflow.parser.get_parsed_content("network"), workflow.inferer
    monkeypatch.setattr(ConfigParser, "parse", lambda *_, **__: pytest.fail("parsed again"))
    for number, name in enumerate(inputs[1:]):
        run_with(workflow, input=name, output_dir=f"out/{number}")
        assert workflow.parser.get_parsed_content("network") is network
        assert workflow.inferer is inferer


def test_values_hold_for_one_run_alone(workflow: ConfigWorkflow, inputs: list[str]) -> None:
    for output_dir, values in (("before", {}), ("changed", {"threshold": 0}), ("after", {})):
        run_with(workflow, input="one_frame", output_dir=output_dir, **values)
    assert _contents("before") == _contents("after")
    (mask,) = Path("changed/masks").rglob("*.png")
    assert np.asarray(Image.open(mask)).min() == 255
    assert workflow.parser.get_parsed_content("output_dir") == "outputs/inference"


def test_values_are_not_evaluated(workflow: ConfigWorkflow, empty_folder: Path) -> None:
    with pytest.raises(InputError, match=r"mkdir.*no such folder"):
        run_with(workflow, input="$os.mkdir('evaluated')", output_dir="out")
    with pytest.raises(InputError, match="@bundle_root: no such folder"):
        run_with(workflow, input="@bundle_root", output_dir="out")
    assert not list(Path().iterdir())


def test_an_unknown_key_is_refused(workflow: ConfigWorkflow) -> None:
    with pytest.raises(InputError, match=r"inputs='frames'.*no key"):
        run_with(workflow, inputs="frames", output_dir="out")


def test_a_failed_run_leaves_nothing_to_the_next(workflow: ConfigWorkflow, inputs: list[str]) -> None:
    run_with(workflow, input="three_frames", output_dir="before")
    shutil.copytree("three_frames", "broken")
    last = max(Path("broken").iterdir())
    Image.open(last).save(last.with_suffix(".png"))
    last.unlink()
    content = bytearray(last.with_suffix(".png").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    last.with_suffix(".png").write_bytes(content)

    with pytest.raises(InputError, match="cannot be read as an image") as caught:
        run_with(workflow, input="broken", output_dir="broken_out")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such folder"):
        run_with(workflow, input="nowhere", output_dir="nowhere_out")
    with pytest.raises(InputError, match="holds files"):
        run_with(workflow, input="three_frames", output_dir="before")
    run_with(workflow, input="three_frames", output_dir="after")
    assert _contents("before") == _contents("after")
