from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch

from lsinet_monai.inferers.corrections import MOST_CORRECTED, Corrections, nearest_frames
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.networks import LSINet

TENS = range(0, 200, 10)

# corrected frames, a frame, and the corrected frames nearest to its stretch
NEAREST = [
    ([], 5, []),
    ([9, 3], 5, [3, 9]),
    (range(8), 100, list(range(8))),
    (range(9), 100, list(range(1, 9))),
    (range(50, 59), 0, list(range(50, 58))),
    (TENS, 101, [70, 80, 90, 100, 110, 120, 130, 140]),  # both ends of the stretch are as near
    (TENS, 109, [70, 80, 90, 100, 110, 120, 130, 140]),
    (TENS, 5, [0, 10, 20, 30, 40, 50, 60, 70]),
    (TENS, 195, [120, 130, 140, 150, 160, 170, 180, 190]),
    ([*range(8), 500, 900], 9, [*range(1, 8), 500]),
    ([*range(8), 500, 900], 499, [*range(1, 8), 500]),
    ([*range(8), 500, 900], 501, [2, 3, 4, 5, 6, 7, 500, 900]),
    ([*range(0, 40, 4), 1000], 1001, [*range(12, 40, 4), 1000]),
]


@pytest.mark.parametrize(("corrected", "frame", "expected"), NEAREST)
def test_nearest_frames(corrected: list[int], frame: int, expected: list[int]) -> None:
    assert nearest_frames(corrected, frame) == expected
    assert len(expected) <= MOST_CORRECTED == 8


# corrected frames, a frame, the frame to leave out, and the corrected frames whose masks it gets with a reach of 3
CARRIED = [
    ([], 5, None, []),
    ([5], 5, None, []),
    ([4, 7], 5, None, [4, 7]),
    ([2, 4, 7], 5, None, [4, 7]),
    ([2, 4, 7], 5, 4, [2, 7]),
    ([1, 4], 5, 4, []),
    ([4], 5, 4, []),
]


@pytest.mark.parametrize(("corrected", "frame", "without", "carriers"), CARRIED)
@torch.no_grad()
def test_the_masks_that_are_carried_to_a_frame(
    small_network: LSINet, corrected: list[int], frame: int, without: int | None, carriers: list[int]
) -> None:
    # Nothing moves, so a mask arrives unchanged, and only the distance lowers the trust in it.
    frames = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8).repeat(9, 0)
    corrections = Corrections(FeatureStore(small_network, frames, (64, 64), capacity=12), reach=3)
    for other in corrected:
        corrections.add(other, np.full((64, 64), other % 2 == 0), frames[other])
    carried = corrections.carried_to(frame, without)
    assert list(carried) == carriers
    for carrier, found in carried.items():
        assert found is not None
        mask, trust, _ = found
        torch.testing.assert_close(mask, torch.full_like(mask, carrier % 2 == 0), atol=1e-4, rtol=0)
        torch.testing.assert_close(trust, torch.full_like(trust, exp(-0.5 * (carrier - frame) ** 2)), atol=0.01, rtol=0)


@torch.no_grad()
def test_black_frames_get_no_mask_and_steer_no_other(small_network: LSINet) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8).repeat(9, 0)
    frames[3:6] = 0
    mask = np.zeros((64, 64), bool)
    mask[8:24, 40:56] = True
    corrections = Corrections(FeatureStore(small_network, frames, (64, 64), capacity=12), reach=30)
    corrections.add(2, mask, frames[2])
    assert corrections.carried_to(4) == {}
    (found,) = corrections.carried_to(6).values()
    assert found is not None
    torch.testing.assert_close(found.mask, torch.from_numpy(mask)[None, None].float(), atol=0.05, rtol=0)
