from __future__ import annotations

import pytest
import torch

from lsinet_monai.networks import LSINet
from lsinet_monai.optimizers import parameter_groups


@pytest.fixture(scope="module")
def network() -> LSINet:
    return LSINet("mobilenetv3_small_100")


def test_every_parameter_has_its_rate_and_decay(network: LSINet) -> None:
    groups = parameter_groups(network, 1e-3, 2e-4, weight_decay=0.05)
    options = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(options)
    for name, parameter in network.named_parameters():
        rate = 2e-4 if name.startswith("encoder.backbone.") else 1e-3
        is_vector = name.endswith(".bias") or ".bn" in name or parameter.ndim == 1
        assert options[id(parameter)] == (rate, 0.0 if is_vector else 0.05), name
    assert groups[0]["lr"] == 1e-3  # what curves show
    torch.optim.AdamW(groups, lr=1e-3)  # takes them


def test_one_rate_for_all_by_default(network: LSINet) -> None:
    groups = parameter_groups(network, 1e-3)
    assert {group["lr"] for group in groups} == {1e-3} and {group["weight_decay"] for group in groups} == {0.0}


def test_frozen_parameters_are_left_out() -> None:
    network = LSINet("mobilenetv3_small_100")
    network.encoder.backbone.requires_grad_(False)
    parameters = [id(p) for group in parameter_groups(network, 1e-3, 1e-4) for p in group["params"]]
    assert set(parameters) == {id(p) for n, p in network.named_parameters() if not n.startswith("encoder.backbone.")}
