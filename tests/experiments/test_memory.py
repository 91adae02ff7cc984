from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.clips import phantom_clips
from experiments.memory import PACKAGE, WAYS, run
from lsinet_monai.data import frames_to_tensor
from lsinet_monai.inferers import SequentialVideoInferer, encode_frames
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.networks import LSINet

SIZE = 64  # of the network's input
INFERERS = {
    PACKAGE: {},
    "memory of 1 frame": {"memory_frames": 1},
    "causal: adjacent is the frame before": {"adjacent": "previous"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [way if way == PACKAGE else pytest.param(way, marks=pytest.mark.slow) for way in INFERERS]
)
@torch.no_grad()
def test_a_way_gives_what_the_inferer_gives(small_network: LSINet, way: str) -> None:
    (clip,) = phantom_clips(1, frames=7, seed=3)
    images = frames_to_tensor(clip.frames, SIZE)[None]
    features = encode_frames(images.unbind(2), small_network)
    size = clip.masks[0].shape
    found = np.stack(list(run(small_network, SIZE, features, size, WAYS[way])))
    logits = SequentialVideoInferer(**INFERERS[way])(images, small_network)
    expected = logit_to_probability(logits[0].transpose(0, 1), size)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
