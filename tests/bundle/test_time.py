"""The overlay for time trains on short clips: all but the encoder, from stored features, and it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from lsinet_monai.networks import LSINet, load_checkpoint

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"


@pytest.fixture
def train(stills: Path, model_file: Path) -> Any:
    """Run the overlay, small, and return the network that it saved."""

    def run(folder: str, **options: Any) -> LSINet:
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / f"{name}.json") for name in ("train", "stills", "time")],
            workflow_type="train",
            checkpoint=str(model_file),
            stills_dir=str(stills / "stills"),
            stills_held_out=str(stills / "held_out.txt"),
            output_dir=str(stills / folder),
            device="cpu",
            **{"clip_size": 64, "clip_frames": 4, "loss_frames": 2, "batch_size": 3, "warmup_steps": 1, **options},
        )
        workflow.initialize()
        workflow.run()
        return load_checkpoint(stills / folder / "model.pt").network

    return run


@pytest.mark.slow
def test_the_overlay_for_time(train: Any, stills: Path, model_file: Path) -> None:
    network, image_size = load_checkpoint(model_file)
    before = network.state_dict()
    trained = train("out", max_epochs=1, mask_embedding=True)
    assert trained.mask_embedding is not None
    assert load_checkpoint(stills / "out" / "model.pt").image_size == image_size
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before.get(name, value))}
    assert changed and not [name for name in changed if name.startswith("encoder.")]
    assert len(list((stills / "outputs" / "features").glob("*.safetensors"))) == 6


@pytest.mark.slow
def test_it_resumes_as_if_it_had_not_stopped(train: Any) -> None:
    whole = train("whole", max_epochs=2)
    train("parts", max_epochs=1)
    resumed = train("parts", max_epochs=2, resume=True)
    assert whole.mask_embedding is None
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.slow
def test_without_stored_features_frames_are_encoded_in_each_step(train: Any, stills: Path) -> None:
    train("out", max_epochs=1, features_dir=None)
    assert not (stills / "outputs" / "features").exists()
