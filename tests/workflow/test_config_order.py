from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow

from lsinet_monai.errors import InputError, find_input_error
from lsinet_monai.workflow.call import Call
from lsinet_monai.workflow.config_order import check_order

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


@pytest.mark.parametrize("overlay", ["demo", "cpu", "stills"])
def test_an_overlay_of_training_does_not_change_the_evaluated_models_size(empty_folder: Path, overlay: str) -> None:
    files = [f"{CONFIGS / name}.json" for name in ("train", "evaluate", overlay)]
    with pytest.raises(InputError) as caught:
        check_order(Call(ConfigParser(ConfigParser.load_config_files(files)), config_file=files))
    size = json.loads(Path(files[2]).read_text())["image_size"]
    assert f"{overlay}.json stands after {files[1]}, and replaces the model's image_size by its {size}: give" in str(
        caught.value
    )
    in_order = [files[0], files[2], files[1]]
    given = '"[{}]"'.format(",".join(f"'{file}'" for file in in_order))
    assert str(caught.value).endswith(f"{given}, or --image_size to evaluate at that size")
    check_order(Call(ConfigParser(ConfigParser.load_config_files(in_order)), config_file=in_order))


def test_an_overlay_of_inference_may_set_the_size(command: Callable[..., Any]) -> None:
    Path("mine.json").write_text(json.dumps({"image_size": 256, "threshold": 0.9}))
    assert command("--image_size 256", "['config.json','mine.json']")["threshold"] == 0.9
