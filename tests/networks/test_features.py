from __future__ import annotations

import torch
from torch import Tensor

from lsinet_monai.networks.features import Features, join_features, memory_elements


def _features(seed: int, batch: int = 1) -> Features:
    generator = torch.Generator().manual_seed(seed)
    kinds = [
        tuple(torch.randn(batch, channels, side, side, generator=generator) for side in (8, 4, 2))
        for channels in (32, 4, 16)
    ]
    return Features(*kinds)


def _tensors(features: Features) -> list[Tensor]:
    return [x for scales in features for x in scales]


def test_joined_features_split_into_the_same_ones() -> None:
    parts = [_features(0), _features(1)]
    split = join_features(parts).split(2)
    for part, again in zip(parts, split, strict=True):
        for x, y in zip(_tensors(part), _tensors(again), strict=True):
            assert torch.equal(x, y)


def test_memory_elements_are_positions_in_rows() -> None:
    features = _features(0, batch=2)
    keys, values = memory_elements(features.keys, features.values)
    assert [tuple(k.shape) for k in keys] == [(2, 64, 4), (2, 16, 4), (2, 4, 4)]
    assert torch.equal(values[0][:, 8 * 3 + 5], features.values[0][:, :, 3, 5])


def test_a_frame_that_reads_itself_gets_its_own_values() -> None:
    features = _features(0)
    # With 20 or fewer elements each position mixes all of them, so equal values come back as they are.
    equal = Features(features.features, features.keys, tuple(torch.full_like(v, 3.0) for v in features.values))
    for read, values in zip(equal.read_own(), equal.values, strict=True):
        torch.testing.assert_close(read, values)
