from __future__ import annotations

import numpy as np
import pytest
import torch

from lsinet_monai.writers import fetch_map
from lsinet_monai.writers.fetched_maps import _Copies, _pack_bits

PROBABILITY = torch.tensor([[0.0, 0.3, 0.31], [0.5, 0.501, 1.0]])


def test_a_map_of_the_cpu() -> None:
    numbers, mask, levels, probability = fetch_map(PROBABILITY, 0.3)()
    np.testing.assert_array_equal(mask, [[0, 0, 255], [255, 255, 255]])  # 0.3 is not above itself in float32
    np.testing.assert_array_equal(levels, [[0, 76, 79], [128, 128, 255]])  # 127.5 rounds to the even number
    np.testing.assert_array_equal(probability, PROBABILITY)
    assert mask.dtype == levels.dtype == np.uint8 and numbers.area == 4 / 6


@pytest.mark.parametrize(("needs_levels", "needs_probability"), [(True, True), (False, False), (True, False)])
def test_a_device_brings_what_is_needed(needs_levels: bool, needs_probability: bool) -> None:
    found = _Copies(PROBABILITY, 0.3, needs_levels, needs_probability).wait()
    expected = fetch_map(PROBABILITY, 0.3)()
    assert found.numbers == pytest.approx(expected.numbers)
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert (found.levels is not None, found.probability is not None) == (needs_levels, needs_probability)
    if needs_levels:
        np.testing.assert_array_equal(found.levels, expected.levels)
    assert found.mask.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (2, 4), (3, 7), (64, 33)], ids=str)
def test_masks_of_a_device_come_packed(shape: tuple[int, int]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.5
    np.testing.assert_array_equal(_pack_bits(mask), np.packbits(mask))
    found = _Copies(mask.float(), 0.5, False, False).wait()
    np.testing.assert_array_equal(found.mask, 255 * mask.numpy())


@pytest.mark.gpu
def test_on_cuda_a_map_arrives_in_pinned_memory() -> None:
    logit = 4 * torch.randn(1080, 1920, generator=torch.Generator().manual_seed(0))
    probability = logit.sigmoid()
    fetched = [fetch_map(probability.cuda(), 0.5) for _ in range(3)]
    expected = fetch_map(probability, 0.5)()
    for fetch in fetched:
        found = fetch()
        assert torch.from_numpy(found.probability).is_pinned()
        np.testing.assert_array_equal(found.mask, expected.mask)
        np.testing.assert_array_equal(found.levels, expected.levels)
        np.testing.assert_array_equal(found.probability, expected.probability)
        assert found.numbers == pytest.approx(expected.numbers, abs=1e-6)
