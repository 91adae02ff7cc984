from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.data import frames_to_tensor
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import encode_frames
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.networks import Features, LSINet

FRAMES = 8
SIZE = (48, 80)
DAMAGED = 5


class Source:
    """A video with one damaged frame that counts how often each frame is read."""

    def __init__(self) -> None:
        self.frames = np.random.default_rng(0).integers(0, 255, (FRAMES, *SIZE, 3), np.uint8)
        self.read: Counter[int] = Counter()

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, index: int) -> np.ndarray:
        self.read[index] += 1
        if index == DAMAGED:
            raise InputError("damaged")
        return self.frames[index]


# encode_batch, the frames to get, each with the direction, and the frames that are read for them
READS = [
    (1, [(0, 1), (1, 1), (0, 1)], [0, 1]),
    (3, [(0, 1)], [0, 1, 2]),
    (3, [(4, -1)], [4, 3, 2]),
    (3, [(0, 1), (2, 1)], [0, 1, 2]),
    (3, [(7, 1)], [7]),
    (3, [(1, -1)], [1, 0]),
    (1, [(DAMAGED, 1), (DAMAGED, 1)], [DAMAGED]),
    (1, [(0, 1), (1, 1), (2, 1), (3, 1), (0, 1)], [0, 1, 2, 3, 0]),  # 3 frames are held
    (1, [(0, 1), (1, 1), (2, 1), (0, 1), (3, 1), (0, 1)], [0, 1, 2, 3]),  # 1 was used longest ago
]


@pytest.mark.parametrize(("encode_batch", "gets", "reads"), READS)
def test_reads(small_network: LSINet, encode_batch: int, gets: list[tuple[int, int]], reads: list[int]) -> None:
    source = Source()
    store = FeatureStore(small_network, source, (64, 64), capacity=3, encode_batch=encode_batch)
    for frame, step in gets:
        encoded = store.get(frame, step)
        assert (encoded is None) == (frame == DAMAGED)
    assert source.read == Counter(reads)


@torch.no_grad()
def test_features_are_those_of_the_frame(small_network: LSINet) -> None:
    source = Source()
    store = FeatureStore(small_network, source, (64, 96), capacity=4, encode_batch=3)
    expected = small_network.encode(frames_to_tensor([source.frames[2]], (64, 96)).movedim(1, 0))
    encoded = store.get(1) and store.get(2)
    assert encoded is not None and encoded.size == SIZE
    for features in (encoded.features, FeatureStore(small_network, source, (64, 96), 4).get_features([2])[0]):
        torch.testing.assert_close(features, expected, atol=1e-4, rtol=0)


def test_get_features_adds_no_frame(small_network: LSINet) -> None:
    source = Source()
    store = FeatureStore(small_network, source, (64, 64), capacity=3)
    store.get_features([2])
    store.get(2)
    assert store.get_features([2])[0] is store.get(2).features
    assert source.read == {2: 2}
    with pytest.raises(InputError, match="damaged"):
        store.get_features([DAMAGED])


# encode_batch, the frames to get when frames 0 and 2 are held, and the number of frames in each pass of the encoder
BATCHES = [
    (1, [0, 2], []),
    (1, [1], [1]),
    (1, [0, 1, 2, 3], [2]),
    (1, [1, 3, 4, 6, 7], [4, 1]),
    (6, [1, 3, 4, 6, 7], [5]),
]


@pytest.mark.parametrize(("encode_batch", "frames", "batches"), BATCHES)
def test_get_features_encodes_in_batches(
    small_network: LSINet, encode_batch: int, frames: list[int], batches: list[int]
) -> None:
    encoded: list[int] = []

    def encode(clip: Sequence[Tensor]) -> list[Features]:
        encoded.append(len(clip))
        return encode_frames(clip, small_network)

    source = Source()
    alone = FeatureStore(small_network, source, (64, 64), capacity=1)
    store = FeatureStore(small_network, source, (64, 64), 6, encode_batch, encode)
    store.encode_batch = 1
    for frame in (0, 2):
        store.get(frame)
    store.encode_batch = encode_batch
    encoded.clear()
    for features, frame in zip(store.get_features(frames), frames, strict=True):
        torch.testing.assert_close(features, alone.get_features([frame])[0], atol=1e-4, rtol=0)
    assert encoded == batches
