from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, create_network, load_checkpoint, save_model
from lsinet_monai.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD, choose_statistics, create_renormalisation

HALF = [0.5, 0.5, 0.5]


def _normalise(rgb: torch.Tensor, mean: Any, std: Any) -> torch.Tensor:
    return (rgb - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@pytest.mark.parametrize(
    ("mean", "std"), [(HALF, HALF), ([0, 0, 0], [1, 1, 1]), ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28])]
)
def test_renormalised_frames_are_those_normalised_with_the_other_statistics(mean: Any, std: Any) -> None:
    rgb = torch.rand(2, 3, 8, 8)
    module = create_renormalisation(mean, std)
    expected = _normalise(rgb, mean, std)
    torch.testing.assert_close(module(_normalise(rgb, IMAGENET_MEAN, IMAGENET_STD)), expected, atol=2e-6, rtol=1e-5)
    assert not module.state_dict() and not list(module.parameters())


# The timm name of a backbone with pretrained weights, or None, and its statistics as timm's documentation has them.
PRETRAINED = [
    (None, IMAGENET_MEAN, IMAGENET_STD),
    ("pvt_v2_b5", IMAGENET_MEAN, IMAGENET_STD),
    ("res2net50_26w_4s", IMAGENET_MEAN, IMAGENET_STD),
    ("tf_efficientnet_lite0", HALF, HALF),
    ("efficientnet_lite0", IMAGENET_MEAN, IMAGENET_STD),
    ("tf_efficientnet_b0.ap_in1k", HALF, HALF),
]


@pytest.mark.parametrize(("backbone", "mean", "std"), PRETRAINED)
def test_statistics_of_a_pretraining(backbone: str | None, mean: Any, std: Any) -> None:
    assert [list(x) for x in choose_statistics(None, None, backbone)] == [list(mean), list(std)]
    given = ([0.1, 0.2, 0.3], [1, 2, 3])
    assert choose_statistics(*given, backbone) == given


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (HALF, None),
        (None, HALF),
        (HALF, [0.5, 0.5, 0]),
        ([0.5], [0.5]),
        ("0.5", HALF),
        (HALF, [float("nan")] * 3),
        (0.5, 0.5),
    ],
)
def test_what_are_no_statistics(mean: Any, std: Any) -> None:
    with pytest.raises(InputError, match="three numbers each"):
        choose_statistics(mean, std, None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights for a backbone whose pretraining has other statistics than ImageNet's."""
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(timm.create_model("tf_efficientnet_lite0", num_classes=0).state_dict(), path)
    return path


@pytest.mark.slow
@torch.no_grad()
def test_the_backbone_gets_frames_as_in_its_pretraining(weights: Path, tmp_path: Path) -> None:
    network = create_network("tf_efficientnet_lite0", encoder_weights=weights, drop_path_rate=0.1).eval()
    assert network.config == {"backbone": "tf_efficientnet_lite0", "drop_path_rate": 0.1, "mean": HALF, "std": HALF}
    rgb = torch.rand(1, 3, 64, 64)
    frame = _normalise(rgb, IMAGENET_MEAN, IMAGENET_STD)
    expected = network.encoder.backbone(_normalise(rgb, HALF, HALF))[-1]
    seen = []
    network.encoder.backbone.register_forward_hook(lambda module, inputs, output: seen.append(output[-1]))
    logit = network(frame)
    torch.testing.assert_close(seen[0], expected, atol=1e-4, rtol=1e-4)
    save_model(network, tmp_path / "model.pt", 64)
    loaded = load_checkpoint(tmp_path / "model.pt").network
    assert loaded.config == network.config
    torch.testing.assert_close(loaded(frame), logit, atol=1e-4, rtol=1e-4)
    assert torch.equal(copy.deepcopy(network)(frame), logit)


def test_random_weights_and_files_of_earlier_versions_have_imagenets_statistics(tmp_path: Path, weights: Path) -> None:
    network = LSINet("tf_efficientnet_lite0")
    assert network.config.keys() == {"backbone", "drop_path_rate"}
    assert isinstance(network.encoder.renormalise, torch.nn.Identity)
    of_pretrained = LSINet("tf_efficientnet_lite0", encoder_weights=weights)
    assert network.state_dict().keys() == of_pretrained.state_dict().keys()
    content = {"model": of_pretrained.state_dict(), "network": network.config, "image_size": 64}
    torch.save(content, tmp_path / "earlier.pt")
    assert isinstance(load_checkpoint(tmp_path / "earlier.pt").network.encoder.renormalise, torch.nn.Identity)


@pytest.mark.parametrize("statistics", [{"mean": [0.5], "std": [0.5]}, {"mean": HALF}], ids=str)
def test_a_file_with_statistics_that_are_none(tmp_path: Path, statistics: dict[str, Any]) -> None:
    network = {"backbone": "mobilenetv3_small_100", **statistics}
    torch.save({"model": {}, "network": network, "image_size": 64}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt.*mean=.*three numbers each"):
        load_checkpoint(tmp_path / "model.pt")
