from __future__ import annotations

from math import exp

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers.mask_carrying import blend, carry_mask
from lsinet_monai.inferers.matching import Match


def _rectangle(top: int, left: int, height: int = 64, width: int = 64) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., top : top + 16, left : left + 20] = 1
    return mask


# image size, whose grid has padding where 32 does not divide it, and frame size
@pytest.mark.parametrize("image_size", [(128, 128), (96, 160), (72, 100)])
@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_a_mask_moves_as_the_frame_did(image_size: tuple[int, int], size: tuple[int, int]) -> None:
    height, width = (-(-side // 32) * 4 for side in image_size)
    match = Match(torch.zeros(1, 2, height, width), torch.ones(1, 1, height, width))
    match.displacement[:, 0] = -image_size[1] / 8 / 4  # a quarter of the frame, in cells of 8 pixels
    mask = _rectangle(20, 10, *size)
    carried, trust = carry_mask(mask, match, 10, 30, image_size, size)
    torch.testing.assert_close(carried, _rectangle(20, 10 + size[1] // 4, *size), atol=1e-4, rtol=0)
    torch.testing.assert_close(trust, torch.full((1, 1, *size), exp(-0.5)))  # a third of the reach away


ONE, NONE = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
# the carried masks and the trust in each, and the probability that results from 0.2
BLENDS = [
    ([], 0.2),
    ([(ONE, 0.0)], 0.2),
    ([(ONE, 1.0)], 1.0),
    ([(NONE, 0.5)], 0.1),
    ([(ONE, 0.5), (ONE, 0.25)], 0.6),  # no more than by the first alone
    ([(ONE, 0.6), (NONE, 0.2)], 0.2 + 0.6 * (0.75 - 0.2)),
]


@pytest.mark.parametrize(("carried", "expected"), BLENDS)
def test_blend(carried: list[tuple[Tensor, float]], expected: float) -> None:
    blended = blend(0.2 * ONE, [(mask, trust * ONE) for mask, trust in carried])
    torch.testing.assert_close(blended, expected * ONE)
