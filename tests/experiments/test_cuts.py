from __future__ import annotations

import numpy as np
import pytest

from experiments.clips import ReadClip, phantom_clips
from experiments.cuts import correct, painted
from lsinet_monai.inferers import SequentialVideoInferer, VideoSession
from lsinet_monai.inferers.propagation import PropagatedFrame
from lsinet_monai.networks import LSINet


@pytest.fixture(scope="module")
def clips() -> list[ReadClip]:
    return list(phantom_clips(2, 6, seed=3))


def test_the_change_of_the_frames_near_a_correction(
    small_network: LSINet, clips: list[ReadClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A propagation that gives frame 1 its true mask, and no other frame one."""
    masks = [np.ones_like(mask) for mask in clips[0].masks]
    clip = clips[0]._replace(masks=masks)
    own = np.zeros(masks[0].shape, np.float32)
    monkeypatch.setattr(VideoSession, "propagate", lambda session: ((frame, own) for frame in range(6)))
    found = PropagatedFrame(1, own + 1, 1.0, (3,))
    monkeypatch.setattr(VideoSession, "propagate_from", lambda session, frame: iter([found]))
    before, change = correct(clip, small_network, 64, SequentialVideoInferer())
    assert before.tolist() == [0] * 5
    assert change.tolist() == [0, 1, 0, 0, 0]  # the middle frame, 3, is corrected


@pytest.mark.parametrize(("share", "expected"), [(0.4, False), (0.6, True)])
def test_a_mask_that_is_painted_across_a_cut(
    small_network: LSINet, clips: list[ReadClip], monkeypatch: pytest.MonkeyPatch, share: float, expected: bool
) -> None:
    earlier = clips[0]._replace(masks=[np.ones_like(mask) for mask in clips[0].masks])
    own = np.zeros(earlier.masks[0].shape, np.float32)
    after = own.copy()
    after.ravel()[: round(share * own.size)] = 1
    monkeypatch.setattr(VideoSession, "propagate", lambda session: ((frame, own) for frame in range(3)))
    found = PropagatedFrame(1, after, 1.0, (0,))
    monkeypatch.setattr(VideoSession, "propagate_from", lambda session, frame: iter([found]))
    assert painted(earlier, clips[1], small_network, 64, SequentialVideoInferer(detect_cuts=True)) is expected
