"""The overlay for stills trains, validates on held-out stills and saves the averaged network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from lsinet_monai.networks import load_checkpoint

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"


SMALL = {
    "backbone": "mobilenetv3_small_100", "pretrained": False, "image_size": 64, "batch_size": 4, "max_epochs": 2,
    "val_interval": 1, "num_workers": 0, "warmup_steps": 1, "+still_clips": {"phantom_share": 0.3, "phantoms": 1},
}  # fmt: skip


@pytest.mark.slow
def test_the_overlay_for_stills(stills: Path) -> None:
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / "train.json"), str(CONFIGS / "stills.json")],
        workflow_type="train",
        stills_dir=str(stills / "stills"),
        stills_held_out=str(stills / "held_out.txt"),
        output_dir=str(stills / "out"),
        model_file=str(stills / "out/model.pt"),
        device="cpu",
        **SMALL,
    )
    workflow.initialize()
    workflow.run()
    trainer, evaluator = (
        workflow.parser.get_parsed_content(f"{part}") for part in ("train#trainer", "validate#evaluator")
    )
    assert trainer.state.iteration == 4
    averaged = workflow.parser.get_parsed_content("averaging").network
    assert evaluator.network is averaged
    saved, size = load_checkpoint(stills / "out/model.pt")
    assert size == 64
    trained = workflow.parser.get_parsed_content("network").state_dict()
    assert any(not torch.equal(value, trained[name]) for name, value in saved.state_dict().items())


def test_the_list_of_held_out_stills_has_both_splits() -> None:
    lines = (CONFIGS / "kvasir_seg_held_out.txt").read_text(encoding="utf-8").splitlines()
    splits = [line.split()[1] for line in lines if line and not line.startswith("#")]
    assert (splits.count("validation"), splits.count("test")) == (100, 50)
    assert json.loads((CONFIGS / "stills.json").read_text(encoding="utf-8"))["+still_clips"]["effects"] == {
        "smoke": 0, "instrument": 0,
    }  # fmt: skip
