"""What a run records and compares is what its objects have, whatever id of the config gave it to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.errors import find_input_error

# Overrides of a training, and what the error says when it resumes without them.
OVERRIDES: dict[str, tuple[Any, str]] = {
    "optimizer#_target_": ("torch.optim.AdamW", "optimizer#_target_='Adam', which was 'AdamW'"),
    "lr_scheduler#gamma": (0.5, "lr_scheduler#gamma=0.1, which was 0.5"),
    "validate#inferer#memory_interval": (2, "memory_interval=5, which was 2"),
    "validate#evaluator#amp": (True, "validate#evaluator#amp=False, which was True"),
    "transforms#2#prob": (0.25, "RandFlipClipd#prob=0.5, which was 0.25"),
}


def _refusal(run: Callable[..., Any], command: str, **options: Any) -> str:
    with pytest.raises(Exception) as caught:
        run(command, **options)
    return str(find_input_error(caught.value))


@pytest.mark.slow
def test_a_training_resumes_with_the_same_objects(run: Callable[..., Any], phantom: Path) -> None:
    options = {"dataset_dir": str(phantom), "output_dir": "out", "model_file": "model.pt", "max_epochs": 1}
    overrides = {name: value for name, (value, _) in OVERRIDES.items()}
    run("training", **options, **overrides)
    assert "is complete, after 1 epochs" in _refusal(run, "training", **options, **overrides, resume=True)
    message = _refusal(run, "training", **options, resume=True)
    assert all(said in message for _, said in OVERRIDES.values()), message


@pytest.mark.slow
def test_inference_records_what_its_objects_have(run: Callable[..., Any], phantom: Path, model_file: Path) -> None:
    folder = next((phantom / "TrainDataset" / "Frame").iterdir())
    options = {"input": str(folder), "checkpoint": str(model_file), "output_dir": "out"}
    overrides = {"inferer#memory_interval": 2, "evaluator#amp": True}
    run("inference", **options, **overrides)
    (summary,) = Path("out").glob("*/summary.json")
    settings = json.loads(summary.read_text(encoding="utf-8"))["settings"]
    assert settings["memory_interval"] == 2 and settings["amp"] is True
    assert "memory_interval=2, and this run has 5" in _refusal(run, "inference", **options, resume=True)
    assert "amp=True, and this run has False" in _refusal(
        run, "inference", **options, **{"inferer#memory_interval": 2}, resume=True
    )
    run("inference", **options, **overrides, resume=True)
