"""Parity with the authors' program, which computed the reference numbers from weights and clips of recipe.py."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.losses import LSINetLoss
from lsinet_monai.networks import LSINet, convert_released_state_dict

pytestmark = pytest.mark.required_in_ci

HERE = Path(__file__).parent
SHARED_PARITY = Path(os.environ.get("LSINET_PARITY", HERE.parents[2] / "shared" / "parity"))

# Near-ties among the best 20 elements of a read may be decided either way, also by another CPU or number of threads; a
# wrong read would change the mean. So a few of the heads' logits may differ by more than MAX_HEADS, none by MAX_LAST.
FEW, MEAN_HEADS = 1e-3, 2e-5
MAX_LAST, MEAN_LAST, MAX_HEADS, MAX_LOSS, MAX_NORM_RATIO, SMALLEST_NORM = 1e-2, 2e-4, 1e-3, 1e-5, 1e-2, 1e-6

BACKBONES = {"pvt_v2_b1": HERE, "pvt_v2_b5": SHARED_PARITY}


def _load_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_recipe", HERE / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recipe = _load_recipe()


class Reference(NamedTuple):
    """A network with the recipe's weights, and where the numbers of the authors' program for it lie."""

    backbone: str
    folder: Path
    network: LSINet
    theirs: dict[str, str]
    """Our name of each parameter and buffer -> theirs."""

    def numbers(self, name: str) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / f"{name}_{self.backbone}.npz"))


@pytest.fixture(scope="module", params=["pvt_v2_b1", pytest.param("pvt_v2_b5", marks=pytest.mark.slow)])
def reference(request: pytest.FixtureRequest) -> Reference:
    backbone, folder = request.param, BACKBONES[request.param]
    if not (folder / f"manifest_{backbone}.json").is_file():
        pytest.skip(f"no reference numbers of {backbone} at {folder}; LSINET_PARITY names their folder")
    manifest = recipe.load_manifest(folder / f"manifest_{backbone}.json")
    names = list(manifest)
    numbered = {name: torch.tensor(i).expand(manifest[name]) for i, name in enumerate(names)}
    theirs = {ours: names[int(value.max())] for ours, value in convert_released_state_dict(numbered).items()}

    state = {name: torch.from_numpy(value) for name, value in recipe.weights(manifest, seed=0).items()}
    network = LSINet(backbone)
    network.load_state_dict(convert_released_state_dict(state))
    return Reference(backbone, folder, network.eval(), theirs)


class Run(NamedTuple):
    last: np.ndarray
    """(T, H, W)."""
    memory_sizes: np.ndarray
    """(T, 3), after each frame's write."""
    heads: np.ndarray
    """(T, 4, H / 4, W / 4): the four logits, every 4th row and column."""


def _run(network: LSINet, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch, **options: int) -> Run:
    heads = []
    upsample_logits = network.upsample_logits

    def record(*args: Any) -> tuple[Tensor, ...]:
        logits = upsample_logits(*args)
        heads.append(torch.cat([logit[:, 0, ::4, ::4] for logit in logits]).numpy())
        return logits

    monkeypatch.setattr(network, "upsample_logits", record)
    inferer = SequentialVideoInferer(forgetting="released", **options)
    state = inferer.new_state()
    last, sizes = [], []
    for logit in inferer.stream(torch.from_numpy(recipe.tensor(frames)).unsqueeze(1), network, state):
        last.append(logit[0, 0].numpy())
        sizes.append(state.memory.sizes[0].numpy())
    return Run(np.stack(last), np.stack(sizes), np.stack(heads))


def test_conversion_covers_the_whole_network(reference: Reference) -> None:
    assert set(reference.theirs) == set(reference.network.state_dict())
    assert len(set(reference.theirs.values())) == len(reference.theirs)


@pytest.mark.slow
def test_short(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reference.numbers("short")
    run = _run(reference.network, recipe.clip(12, 0), monkeypatch)
    error = np.abs(run.last[:, ::4, ::4] - expected["last"])
    assert error.max() < MAX_LAST
    assert error.mean() < MEAN_LAST
    error = np.abs(run.heads[7] - expected["heads_frame7"])
    assert error.max() < MAX_LAST
    assert error.mean() < MEAN_HEADS
    assert (error >= MAX_HEADS).mean() < FEW
    np.testing.assert_array_equal(run.memory_sizes, expected["memory_sizes"])


@pytest.mark.slow
def test_eviction(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reference.numbers("eviction")
    run = _run(reference.network, recipe.clip(40, 100), monkeypatch, memory_interval=2, memory_frames=4)
    error = np.abs(run.last[:, ::8, ::8] - expected["last"])
    assert error.max() < MAX_LAST
    assert error.mean() < MEAN_LAST
    np.testing.assert_array_equal(run.memory_sizes, expected["memory_sizes"])


@pytest.mark.slow
def test_training(reference: Reference) -> None:
    expected = json.loads((reference.folder / f"training_{reference.backbone}.json").read_text())
    frames = torch.from_numpy(recipe.tensor(recipe.clip(8, 200)))
    masks = torch.from_numpy(recipe.masks(8, 200)).unsqueeze(1) / 255
    current, memory = expected["current_frames"], expected["memory_frames"]
    network = reference.network
    network.zero_grad()
    logits = network(
        frames[current],
        adjacent=frames[expected["neighbour_frames"]],
        memory=frames[memory],
        memory_mask=masks[memory],
    )
    losses = LSINetLoss(weighted_bce=False).per_output(logits, masks[current])
    assert [loss.item() for loss in losses] == pytest.approx(expected["losses"], rel=0, abs=MAX_LOSS)

    torch.stack(losses).sum().backward()
    gradients = {reference.theirs[name]: parameter.grad for name, parameter in network.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == expected["no_gradient"]
    assert set(gradients) == set(expected["grad_norms"])
    norms = {name: gradient.norm().item() for name, gradient in gradients.items()}
    wrong = {
        name: (norms[name], norm)
        for name, norm in expected["grad_norms"].items()
        if norm > SMALLEST_NORM and abs(norms[name] - norm) > MAX_NORM_RATIO * norm
    }
    assert not wrong
