from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.inferers.stored_cuts import StoredCuts
from lsinet_monai.networks import Features, LSINet

SCENES = torch.randn(4, 32, 12, 12, generator=torch.Generator().manual_seed(0))
SCENES[3] = 0.2 * (SCENES[0] + SCENES[3])


class Video:
    """A video in letters: a to c are scenes, "d" is "a" in haze, "!" damaged, "." black, "x" not finite."""

    def __init__(self, letters: str) -> None:
        self.letters = letters
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.letters)

    def __getitem__(self, index: int) -> np.ndarray:
        self.read.append(index)
        if self.letters[index] == "!":
            raise InputError("damaged")
        frame = np.zeros((64, 64, 3), np.uint8)
        if self.letters[index] != ".":
            frame[0, 0] = 10 * (1 + "abcdx".index(self.letters[index]))
            frame[32:] = 200
        return frame


def _encode(frames: Sequence[Tensor]) -> list[Features]:
    """The features of a frame's scene, which its first pixel tells."""

    def features(frame: Tensor) -> Tensor:
        # As frames_to_tensor normalises a value of red.
        scene = round((float(frame[0, 0, 0, 0]) * 0.229 + 0.485) * 255 / 10) - 1
        return SCENES[scene : scene + 1] if 0 <= scene < 4 else torch.full((1, 32, 12, 12), torch.nan)

    return [Features((x, x, x), (x,), (x,)) for x in map(features, frames)]


def _cuts(small_network: LSINet, letters: str, **options: Any) -> StoredCuts:
    return StoredCuts(FeatureStore(small_network, Video(letters), (64, 64), 20, encode=_encode), **options)


# A video, and the frames that come after a cut.
VIDEOS = [
    ("aabbb", [2]),
    ("abca", [1, 2, 3]),
    ("aa!a.axa", []),
    ("aa!b", [3]),
    ("a.xb!.b", [3]),
    (".xab", [3]),
    ("addaab", [5]),
    ("ad!db", [4]),
]


@pytest.mark.parametrize(("letters", "expected"), VIDEOS)
@pytest.mark.parametrize("step", [1, -1])
def test_cuts(small_network: LSINet, letters: str, expected: list[int], step: int) -> None:
    cuts = _cuts(small_network, letters, detect=True)
    frames = range(len(letters))
    assert [frame for frame in frames[::step] if cuts.begins_scene(frame, step)] == expected[::step]
    for frame in frames:
        for other in frames:
            expects = any(min(frame, other) < cut <= max(frame, other) for cut in expected)
            assert cuts.between(frame, other) == expects


def test_without_detection_nothing_is_read(small_network: LSINet) -> None:
    cuts = _cuts(small_network, "ab", detect=False)
    assert not cuts.between(0, 1) and cuts.store.source.read == []


def test_frames_that_show_nothing_are_read_once(small_network: LSINet) -> None:
    cuts = _cuts(small_network, "a" + 30 * "." + "ab", detect=True)
    assert [frame for frame in range(33) if cuts.begins_scene(frame)] == [32]
    read = cuts.store.source.read
    assert max(read.count(frame) for frame in range(1, 31)) == 1
