from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.ops import deform_conv2d

GROUPS, TAPS = 8, 9


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in ((2, 32, 7, 9), (32, 32, 3, 3), (32,)))


def test_no_offset_is_a_convolution(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias = inputs
    offset, mask = torch.zeros(2, 2 * GROUPS * TAPS, 7, 9), torch.full((2, GROUPS * TAPS, 7, 9), 0.5)
    result = deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)
    torch.testing.assert_close(result, F.conv2d(x, 0.5 * weight, bias, padding=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, 2), (-2, 1)])
def test_offsets_are_dy_before_dx(inputs: tuple[Tensor, Tensor, Tensor], dy: int, dx: int) -> None:
    x, weight, bias = inputs
    offset = torch.tensor([dy, dx]).float().repeat(GROUPS * TAPS).view(1, -1, 1, 1).expand(2, -1, 7, 9)
    result = deform_conv2d(x, offset, weight, bias, padding=1, mask=torch.ones(2, GROUPS * TAPS, 7, 9))
    # A frame of zeros wide enough for every offset, shifted, then convolved.
    shifted = F.pad(x, (4, 4, 4, 4)).roll((-dy, -dx), (2, 3))
    expected = F.conv2d(shifted, weight, bias, padding=1)[:, :, 4:-4, 4:-4]
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
