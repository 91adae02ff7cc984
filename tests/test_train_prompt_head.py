from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.networks import LSINet, PromptHead, load_checkpoint, save_model

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_prompt_head.py"


@pytest.fixture
def work(tmp_path: Path, make_small_network) -> Path:
    """A model file, and four pictures with masks, one of them held out."""
    save_model(make_small_network("mobilenetv3_small_050"), tmp_path / "model.pt", 64)
    rng = np.random.default_rng(0)
    mask = np.zeros((60, 70), np.uint8)
    mask[20:44, 20:50] = 255
    for name in "abcd":
        for folder, array in (("images", rng.integers(0, 255, (60, 70, 3), np.uint8)), ("masks", mask)):
            path = tmp_path / "stills" / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    (tmp_path / "held_out.txt").write_text("d test\n")
    return tmp_path


def _train(work: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> LSINet:
    arguments = (
        f"{SCRIPT} {work}/model.pt {work}/out.pt --stills {work}/stills --held-out {work}/held_out.txt "
        f"--work {work}/work --passes 2 --batch 2 --steps {steps}"
    )
    monkeypatch.setattr(sys, "argv", arguments.split())
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return load_checkpoint(work / "out.pt").network


@pytest.mark.slow
def test_a_head_is_trained_and_the_rest_stays(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_checkpoint(work / "model.pt").network
    trained = _train(work, monkeypatch, 5)
    assert trained.prompt_head is not None
    assert len(np.load(work / "work" / "0_mask.npy")) == 3  # without the one that is held out
    assert trained.fingerprint() == before.fingerprint()
    weights = trained.prompt_head.state_dict()
    torch.manual_seed(0)
    fresh = PromptHead().state_dict()["score.weight"]
    assert not torch.equal(weights["score.weight"], fresh.half().float())
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("all steps are done"))
    again = _train(work, monkeypatch, 5)
    assert again.prompt_head is not None
    assert all(torch.equal(value, weights[name]) for name, value in again.prompt_head.state_dict().items())
    (work / "held_out.txt").write_text("c test\n")
    with pytest.raises(SystemExit, match="other pictures"):
        _train(work, monkeypatch, 5)
