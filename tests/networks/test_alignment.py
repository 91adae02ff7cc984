from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from lsinet_monai.networks.alignment import Alignment, DeformableAlignment, ScaleAlignment


def test_it_starts_as_half_a_convolution() -> None:
    # Offsets and mask logits are zero at first, and the sigmoid of 0 is 0.5.
    align = DeformableAlignment()
    source, offset_features = torch.randn(2, 2, 32, 6, 5)
    expected = F.conv2d(source, 0.5 * align.weight, align.bias, padding=1)
    torch.testing.assert_close(align(source, offset_features), expected, atol=1e-4, rtol=1e-4)


def test_offsets_double_from_scale_to_scale() -> None:
    # Layers that pass the coarser offsets on and nothing else.
    scale = ScaleAlignment(coarsest=False)
    for parameter in scale.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        scale.offset2.weight[:, 32:] = nn.init.dirac_(torch.empty(32, 32, 3, 3))
    nn.init.dirac_(scale.offset3.weight)
    finer, coarser = torch.randn(1, 32, 8, 6), torch.full((1, 32, 4, 3), 1.5)
    offset, _ = scale(finer, finer, (coarser, coarser))
    torch.testing.assert_close(offset, torch.full((1, 32, 8, 6), 3.0))


def test_coarser_scales_reach_finer_ones_alone() -> None:
    align = Alignment()
    reference = tuple(torch.randn(1, 32, side, side) for side in (8, 4, 2))
    source = tuple(torch.randn(1, 32, side, side, requires_grad=True) for side in (8, 4, 2))
    assert [x.shape for x in align(source, reference)] == [x.shape for x in source]
    for scale, aligned in enumerate(align(source, reference)):
        gradients = torch.autograd.grad(aligned.square().sum(), source, allow_unused=True, retain_graph=True)
        assert [x is not None and bool(x.any()) for x in gradients] == [other >= scale for other in range(3)]
