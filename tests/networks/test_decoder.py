from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lsinet_monai.networks.decoder import Decoder, GroupReversal, ReverseStage


def _features(height: int = 2, width: int = 3, batch: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(batch, 32, height * n, width * n, generator=generator) for n in (4, 2, 1))


@torch.no_grad()
def test_outputs_are_at_strides_8_32_16_8() -> None:
    logits = Decoder().eval()(_features())
    assert [x.shape for x in logits] == [(2, 1, 2 * n, 3 * n) for n in (4, 1, 2, 4)]


def test_each_output_depends_on_all_scales() -> None:
    decoder = Decoder().eval()
    features = tuple(x.requires_grad_() for x in _features())
    for logit in decoder(features):
        gradients = torch.autograd.grad(logit.sum(), features, retain_graph=True)
        assert all(bool(x.any()) for x in gradients)


@pytest.mark.parametrize("groups", [1, 4, 32])
@torch.no_grad()
def test_the_guide_is_appended_to_each_group(groups: int) -> None:
    block = GroupReversal(groups)
    nn.init.zeros_(block.refine.weight)
    nn.init.zeros_(block.refine.bias)
    # The first output sums the guide's channels, which follow each group of 32 / groups features.
    for group in range(groups):
        block.refine.weight[0, (group + 1) * (32 // groups) + group, 1, 1] = 1
    features, guide = _features(batch=1)[2], torch.rand(1, 1, 2, 3)
    refined, refined_guide = block(features, guide)
    torch.testing.assert_close(refined[:, 0], features[:, 0] + groups * guide[:, 0])
    torch.testing.assert_close(refined[:, 1:], features[:, 1:])
    torch.testing.assert_close(refined_guide, guide + block.score(refined))


@torch.no_grad()
def test_a_stage_that_learned_nothing_adds_the_reversed_guide() -> None:
    stage = ReverseStage()
    for parameter in stage.parameters():
        nn.init.zeros_(parameter)
    guide = torch.randn(1, 1, 2, 3)
    torch.testing.assert_close(stage(_features(batch=1)[2], guide), guide + 1 - torch.sigmoid(guide))
