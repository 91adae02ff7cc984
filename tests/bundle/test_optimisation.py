"""The overlay in docs/train.md: another optimiser and schedule, averaged weights, and accumulated gradients."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

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


class Losses(list[float]):
    """The losses of the steps of a training. One step may fail."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.fails_in: int | None = None
        forward = LSINetLoss.forward

        def record(loss: LSINetLoss, *arguments: Any) -> torch.Tensor:
            if len(self) + 1 == self.fails_in:
                raise ZeroDivisionError
            value = forward(loss, *arguments)
            self.append(value.item())
            return value

        patch.setattr(LSINetLoss, "forward", record)


class Uninterrupted(NamedTuple):
    """A training that nothing interrupts."""

    amp_dtype: str | None
    losses: list[float]
    state: dict[str, Any]
    model: dict[str, torch.Tensor]


@pytest.fixture(scope="module", params=[None, "bfloat16"], ids=str)
def uninterrupted(
    request: pytest.FixtureRequest, phantom: Path, tmp_path_factory: pytest.TempPathFactory
) -> Uninterrupted:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("uninterrupted"))
        losses = Losses(patch)
        _train(phantom, validation_fraction=0, amp_dtype=request.param)
        return Uninterrupted(request.param, losses, _state("out"), torch.load("model.pt", weights_only=True)["model"])


@pytest.mark.slow
def test_the_model_file_is_the_averaged_network(uninterrupted: Uninterrupted) -> None:
    _, losses, state, model = uninterrupted
    assert len(losses) == 9 and state["averaging"]["n_averaged"] == 6
    assert _equal(model, _averaged(state)) and not _equal(model, state["network"])


@pytest.mark.slow
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    phantom: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Uninterrupted
) -> None:
    options = {"validation_fraction": 0, "amp_dtype": uninterrupted.amp_dtype}
    losses = Losses(monkeypatch)
    # The state before step 5 is from within a sum of gradients; that before step 6, from after one.
    for losses.fails_in, resume in ((5, False), (6, True)):
        with pytest.raises(RuntimeError):
            _train(phantom, **options, resume=resume)
        assert bool(_state("out")["gradients"]["gradients"]) == (losses.fails_in == 5)
        torch.manual_seed(12345)
    losses.fails_in = None
    _train(phantom, **options, resume=True)
    assert losses == uninterrupted.losses
    assert _equal(torch.load("model.pt", weights_only=True)["model"], uninterrupted.model)


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
