from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, fuse_norms, save_model

FRAMES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def _with_statistics(network: LSINet) -> LSINet:
    """Give all batch norms statistics, as training does."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
    return network


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def _logits(network: LSINet) -> tuple[Tensor, ...]:
    return network(*FRAMES.split(1), FRAMES[:1])


# The backbone, and whether some of its batch norms stay: Res2Net's lie in a list of their own.
BACKBONES = [
    ("pvt_v2_b0", False),
    ("mobilenetv3_small_100", False),
    ("tf_efficientnet_lite0", False),
    ("resnet18", False),
    ("res2net50_26w_4s", True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "stay"), BACKBONES)
def test_logits_are_equal_but_for_rounding(
    make_small_network: Callable[..., LSINet], backbone: str, stay: bool
) -> None:
    network = _with_statistics(make_small_network(backbone))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fused = fuse_norms(network)
    for logit, expected in zip(_logits(fused), _logits(network), strict=True):
        torch.testing.assert_close(logit, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    assert (_norms(fused) > 0) is stay and _norms(fused) < _norms(network)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert fused.fingerprint() == network.fingerprint()


def test_a_backbone_whose_norms_lie_elsewhere_keeps_them(small_network: LSINet) -> None:
    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.feature_info = small_network.encoder.backbone.feature_info
            nn.init.constant_(self.norm.bias, 1.0)

        def forward(self, frames: Tensor) -> list[Tensor]:
            return [self.conv(self.norm(frames))]

    network = fuse_norms(small_network)
    network.encoder.backbone = Backbone().eval()
    network.fused_from = None
    assert _norms(fuse_norms(network)) == 1


def test_wrong_use_is_refused(small_network: LSINet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="from fuse_norms cannot be saved as a model file"):
        save_model(fuse_norms(small_network), tmp_path / "model.pt", 352)
    assert not list(tmp_path.iterdir())
    training = copy.deepcopy(small_network)
    training.decoder.train()
    with pytest.raises(InputError, match=r"is in training mode: call network\.eval\(\) before fuse_norms"):
        fuse_norms(training)


def test_the_fingerprint_tells_networks_apart(make_small_network: Callable[..., LSINet]) -> None:
    network, other = make_small_network("mobilenetv3_small_100"), make_small_network("mobilenetv3_small_100")
    assert network.fingerprint() == other.fingerprint() == other.to(memory_format=torch.channels_last).fingerprint()
    other.decoder.guide.score.bias += 1
    assert network.fingerprint() != other.fingerprint()
