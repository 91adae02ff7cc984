"""The overlay in docs/train.md: another optimiser and schedule, averaged weights, and accumulated gradients."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from lsinet_monai.losses import LSINetLoss

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "bundle" / "configs" / "train.json"
# Three steps an epoch, which are two of the optimiser.
OPTIONS: dict[str, Any] = {
    "device": "cpu", "num_workers": 0, "backbone": "mobilenetv3_small_100", "pretrained": False, "image_size": 64,
    "batch_size": 4, "max_epochs": 3, "drop_path_rate": 0.5, "warmup_steps": 2, "accumulation_steps": 2,
    "model_file": "model.pt", "save_steps": 1,
}  # fmt: skip


def _train(phantom: Path, **options: Any) -> ConfigWorkflow:
    blocks = re.findall(r"^```json\n(.*?)^```", (ROOT / "docs" / "train.md").read_text(encoding="utf-8"), re.M | re.S)
    overlay = next(block for block in blocks if "WeightAveraging" in block)
    assert json.loads(overlay).keys() >= {"averaging_decay", "accumulation_steps", "warmup_steps", "weight_decay"}
    Path("overlay.json").write_text(overlay, encoding="utf-8")
    workflow = ConfigWorkflow(
        config_file=[str(CONFIG), "overlay.json"],
        workflow_type="train",
        run_id="training",
        logging_file=False,
        **{"dataset_dir": str(phantom), "output_dir": "out", **OPTIONS, **options},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def _state(folder: str) -> dict[str, Any]:
    return torch.load(Path(folder, "training_state.pt"), weights_only=True)


def _equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def _averaged(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {k.removeprefix("module."): v for k, v in state["averaging"].items() if k != "n_averaged"}


@pytest.mark.slow
@pytest.mark.parametrize("amp_dtype", [None, "bfloat16"])
@pytest.mark.parametrize("step", [5, 6])  # the state before is from within a sum of gradients, or from after one
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    phantom: Path, monkeypatch: pytest.MonkeyPatch, step: int, amp_dtype: str | None
) -> None:
    options = {"validation_fraction": 0, "amp_dtype": amp_dtype}
    losses: list[float] = []
    forward = LSINetLoss.forward

    def record(loss: LSINetLoss, *arguments: Any) -> torch.Tensor:
        if len(losses) + 1 == fail_at:
            raise ZeroDivisionError
        value = forward(loss, *arguments)
        losses.append(value.item())
        return value

    monkeypatch.setattr(LSINetLoss, "forward", record)
    fail_at = 0
    _train(phantom, **options)
    expected, whole, model = list(losses), _state("out"), torch.load("model.pt", weights_only=True)["model"]
    assert len(expected) == 9 and whole["averaging"]["n_averaged"] == 6
    assert _equal(model, _averaged(whole)) and not _equal(model, whole["network"])
    shutil.rmtree("out")
    losses.clear()
    fail_at = step
    with pytest.raises(RuntimeError):
        _train(phantom, **options)
    assert bool(_state("out")["gradients"]["gradients"]) == (step == 5)
    fail_at = 0
    torch.manual_seed(12345)
    _train(phantom, **options, resume=True)
    assert losses == expected
    assert _equal(torch.load("model.pt", weights_only=True)["model"], model)


@pytest.mark.slow
def test_the_averaged_network_is_validated_and_saved(phantom: Path) -> None:
    parser = _train(phantom, max_epochs=1).parser
    averaged, network = (parser.get_parsed_content(key) for key in ("averaging", "network"))
    assert parser.get_parsed_content("validate#evaluator").network is averaged.network
    assert parser.get_parsed_content("train#trainer").network is network
    assert _equal(torch.load("model.pt", weights_only=True)["model"], averaged.network.state_dict())
    assert not _equal(averaged.network.state_dict(), network.state_dict())
    groups = parser.get_parsed_content("optimizer").param_groups
    assert {(group["initial_lr"], group["weight_decay"]) for group in groups} == {
        (rate, decay) for rate in (1e-4, 0.4e-4) for decay in (0.05, 0.0)
    }
