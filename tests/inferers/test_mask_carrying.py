from __future__ import annotations

from math import exp

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers.mask_carrying import CarriedMask, blend, can_trust, carry_mask, nearness
from lsinet_monai.inferers.matching import Match
from lsinet_monai.networks import Features


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
    carried, likeness = carry_mask(mask, match, image_size, size)
    torch.testing.assert_close(carried, _rectangle(20, 10 + size[1] // 4, *size), atol=1e-4, rtol=0)
    torch.testing.assert_close(likeness, torch.ones(1, 1, *size))


def test_nearness() -> None:
    assert nearness(10, 30) == pytest.approx(exp(-0.5))  # a third of the reach away
    assert nearness(30, 30) == pytest.approx(0.011, abs=1e-3)


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
    blended = blend(0.2 * ONE, [CarriedMask(mask, trust * ONE) for mask, trust in carried])
    torch.testing.assert_close(blended, expected * ONE)


def test_nearer_masks_count_more_among_others_alone() -> None:
    carried = [CarriedMask(ONE, 0.8 * ONE, 1.0), CarriedMask(NONE, 0.8 * ONE, 0.25)]
    torch.testing.assert_close(blend(0.5 * ONE, carried), (0.2 * 0.5 + 0.8 * 0.8) * ONE)
    torch.testing.assert_close(blend(0.5 * ONE, carried[1:]), 0.2 * 0.5 * ONE)


# how the two frames' features differ, the mask as it is drawn again, and whether it is trusted
TRUSTED = [
    ("nowhere", _rectangle(20, 10), True),
    ("nowhere", _rectangle(22, 12), True),
    ("nowhere", _rectangle(30, 20), False),
    ("nowhere", 0 * _rectangle(20, 10), False),
    ("in the mask", _rectangle(20, 10), False),
    ("elsewhere", _rectangle(20, 10), True),
]


# the side of the frame, which is padded where 32 does not divide it
@pytest.mark.parametrize("side", [128, 120])
@pytest.mark.parametrize(("change", "drawn", "expected"), TRUSTED)
def test_a_mask_that_is_drawn_again_is_trusted(side: int, change: str, drawn: Tensor, expected: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    before, other = torch.randn(2, 1, 16, 8, 8, generator=generator)
    after = before.clone()
    if change == "in the mask":
        after[..., :5, :5] = other[..., :5, :5]
    elif change == "elsewhere":
        after[..., 6:, :] = other[..., 6:, :]
    frames = [Features((x, x, x), (), ()) for x in (before, after)]
    carried, drawn = (torch.nn.functional.interpolate(x, (side, side)) for x in (_rectangle(20, 10), drawn))
    assert can_trust(carried, drawn, *frames) is expected
