from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.clips import phantom_clips
from experiments.corrections import OTHERS, REACH, SegmentedClip, carry, choose, score
from lsinet_monai.data import frames_to_tensor
from lsinet_monai.inferers import encode_frames
from lsinet_monai.networks import LSINet

SIZE = 64  # of the network's input
FRAMES, CORRECTED = REACH + 3, REACH + 1


@pytest.fixture(scope="module")
def clip() -> SegmentedClip:
    """A clip with a polyp in each frame; the network sees none of them."""
    (read,) = phantom_clips(1, FRAMES, seed=3)
    masks = np.zeros((FRAMES, *read.masks[0].shape), bool)
    masks[:, 40:80, 60:100] = True
    return SegmentedClip(list(read.frames), masks, np.full(masks.shape, 0.1, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("way", OTHERS)
@torch.no_grad()
def test_a_way_carries_a_mask_within_its_reach(small_network: LSINet, clip: SegmentedClip, way: str) -> None:
    features = encode_frames(frames_to_tensor(clip.frames, SIZE)[None].unbind(2), small_network)
    result = carry(way, small_network, features, clip, CORRECTED)
    changed = (result != clip.own).any((1, 2))
    assert not changed[: CORRECTED - REACH].any()
    assert changed[CORRECTED - 1]
    assert changed[CORRECTED + 1]
    assert ((result >= 0) & (result <= 1)).all()


def test_frames_to_correct_are_those_that_the_network_gets_wrong(clip: SegmentedClip) -> None:
    masks = clip.masks.copy()
    masks[:5] = False
    own = np.where(masks, 0.9, 0.1).astype(np.float32)
    own[0] = 0.9  # a false positive
    own[9] = 0.1  # a missed polyp
    dice, false_positives = score(own, SegmentedClip(clip.frames, masks, own))
    assert list(np.flatnonzero(dice < 1)) == [0, 9]
    assert list(np.flatnonzero(false_positives)) == [0]
    assert sorted(choose(dice, SegmentedClip(clip.frames, masks, own), most=2)) == [0, 9]
