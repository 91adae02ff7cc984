from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow

from lsinet_monai.errors import find_input_error

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
OF_INFERENCE = ("export", "multi_gpu_inference")
OVERLAYS = {
    path.stem: "inference" if path.stem in OF_INFERENCE else "train"
    for path in CONFIGS.glob("*.json")
    if path.stem not in ("train", "inference", "metadata")
}


@pytest.fixture(params=[ConfigWorkflow, create_workflow])
def make(request: pytest.FixtureRequest) -> Any:
    """How a workflow is made: as a program makes it, or as MONAI's commands do."""
    return request.param


@pytest.fixture
def refusal(make: Any, empty_folder: Path) -> Callable[..., str]:
    """The line that ends a run with some configs."""

    def run(*names: str) -> str:
        with warnings.catch_warnings(), pytest.raises(Exception) as caught:
            warnings.simplefilter("ignore")
            files = [str(CONFIGS / f"{name}.json") for name in names]
            workflow = make(config_file=files, logging_file=False)
            workflow.initialize()
        assert not list(empty_folder.iterdir())
        return str(find_input_error(caught.value))

    return run


def _missing(make: Any, base: str, *names: str) -> str:
    """The line that says that ``base`` is missing; ``names`` are the files in order. A program's are not known."""
    if make is ConfigWorkflow:
        return f"an overlay that adds to {base}.json is given without it: give {base}.json first, then the overlay"
    files = [f"{CONFIGS / name}.json" for name in names]
    given = ",".join(f"'{file}'" for file in files)
    return f'{files[-1]} adds to {base}.json, which is missing: give --config_file "[{given}]"'


@pytest.mark.parametrize(("overlay", "base"), OVERLAYS.items())
def test_an_overlay_says_what_it_needs(refusal: Callable[..., str], make: Any, overlay: str, base: str) -> None:
    other = "train" if base == "inference" else "inference"
    assert refusal(overlay) == refusal(other, overlay) == _missing(make, base, base, overlay)
    assert "stands before" in refusal(overlay, base)


def test_an_overlay_of_an_overlay(refusal: Callable[..., str], make: Any) -> None:
    assert refusal("train", "time") == _missing(make, "stills", "train", "stills", "time")


def test_a_users_overlay_before_the_config(command: Callable[..., Any]) -> None:
    Path("mine.json").write_text(json.dumps({"mine": 1, "threshold": 0.9}))
    assert command("", "['mine.json','config.json']") == (
        "mine.json stands before config.json, which replaces its threshold: "
        "give --config_file \"['config.json','mine.json']\""
    )
    Path("mine.json").write_text(json.dumps({"mine": 1}))  # nothing is lost
    assert command("", "['mine.json','config.json']")["threshold"] == 0.5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_can_be_read_alone(overlay: str) -> None:
    """Otherwise MONAI ends with a traceback before the overlay can say anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = ConfigParser.load_config_files(str(CONFIGS / f"{overlay}.json"))
    assert next(iter(config)) == "initialize"
