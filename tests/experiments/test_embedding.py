from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from experiments.clips import phantom_clips
from experiments.embedding import WAYS, correct
from lsinet_monai.inferers import SequentialVideoInferer, VideoSession
from lsinet_monai.networks import LSINet


def test_each_way_is_compared_with_the_masks_before(
    make_small_network: Callable[..., LSINet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carried masks are all right, and those in memory change nothing, but are there for all frames."""
    (clip,) = phantom_clips(1, 6, seed=3)
    clip = clip._replace(masks=[np.ones_like(mask) for mask in clip.masks])
    wrong = np.zeros(clip.masks[0].shape, np.float32)
    reaches = []

    def propagate(session: VideoSession) -> list[tuple[int, np.ndarray]]:
        is_carried = any(session._corrections.carried_to(frame) for frame in range(6))
        reaches.append(session.reach)
        return [(frame, wrong + is_carried) for frame in range(6)]

    monkeypatch.setattr(VideoSession, "propagate", propagate)
    network = make_small_network("mobilenetv3_small_050", mask_embedding=True)
    changes = correct(clip, network, 64, SequentialVideoInferer())
    assert {way: (before.tolist(), change.tolist()) for way, (before, change) in changes.items()} == {
        way: (5 * [0], 5 * [float(is_carried)]) for way, is_carried in WAYS.items()
    }
    assert min(reaches) >= 10
