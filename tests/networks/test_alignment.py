from __future__ import annotations

import torch
from torch.nn import functional as F

from lsinet_monai.networks.alignment import Alignment, DeformableAlignment


def test_it_starts_as_half_a_convolution() -> None:
    # Offsets and mask logits are zero at first, and the sigmoid of 0 is 0.5.
    align = DeformableAlignment()
    source, offset_features = torch.randn(2, 2, 32, 6, 5)
    expected = F.conv2d(source, 0.5 * align.weight, align.bias, padding=1)
    torch.testing.assert_close(align(source, offset_features), expected, atol=1e-4, rtol=1e-4)


def test_coarser_offsets_reach_finer_scales() -> None:
    align = Alignment()
    for scale in align.scales:
        torch.nn.init.normal_(scale.deform.offset.weight, std=0.1)
    reference = tuple(torch.randn(1, 32, side, side) for side in (8, 4, 2))
    source = tuple(torch.randn(1, 32, side, side, requires_grad=True) for side in (8, 4, 2))
    aligned = align(source, reference)
    assert [x.shape for x in aligned] == [x.shape for x in source]
    aligned[0].square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in source)
    # ... and never the other way.
    grads = torch.autograd.grad(align(source, reference)[2].square().sum(), source, allow_unused=True)
    assert [grad is not None for grad in grads] == [False, False, True]
