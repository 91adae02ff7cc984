from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from experiments.sequences import WAYS, score, segment
from lsinet_monai.networks import LSINet


@torch.no_grad()
def test_every_way_has_a_logit_for_each_frame(make_small_network: Callable[..., LSINet]) -> None:
    network = make_small_network("mobilenetv3_small_050", prompt_head=True)
    frames = torch.randn(1, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = {way: segment(frames, network, way) for way in WAYS}
    assert all([tuple(logit.shape) for logit in logits] == 3 * [(1, 1, 64, 64)] for logits in found.values())
    alone = [segment(frame, network, "as published")[0] for frame in frames.split(1, 2)]
    torch.testing.assert_close(found["a frame by itself"], alone)
    assert not torch.allclose(found["as published"][2], alone[2])


def test_scores_are_means_over_the_frames() -> None:
    truth = np.zeros((10, 10), bool)
    truth[:5] = True
    logits = [torch.full((1, 1, 10, 10), -9.0).masked_fill(torch.from_numpy(mask), 9.0) for mask in (truth, ~truth)]
    assert score(logits, [truth, truth]).tolist() == [0.5, 0.5]
    assert score([torch.full((1, 1, 10, 10), -9.0)], [np.zeros((10, 10), bool)]).tolist() == [1, 1]
