from __future__ import annotations

import numpy as np
import pytest
import torch

from lsinet_monai.inferers import MemoryBank
from lsinet_monai.inferers.corrections import Corrections
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.inferers.propagation import Propagation
from lsinet_monai.inferers.stored_cuts import StoredCuts
from lsinet_monai.networks import LSINet


def _corrections(store: FeatureStore) -> Corrections:
    return Corrections(store, 3, StoredCuts(store, detect=False))


@pytest.fixture
def corrections(small_network: LSINet) -> Corrections:
    """Twelve corrected frames, 0 to 11."""
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
    corrections = _corrections(FeatureStore(small_network, frames, (64, 64), capacity=4))
    for frame in range(12):
        corrections.add(frame, np.arange(64 * 64).reshape(64, 64) < 64 * frame, frames[frame])
    return corrections


def _start(frame: int = 0, memory_frames: int = 2) -> Propagation:
    return Propagation(MemoryBank(memory_frames), frame, 1, corrected=list(range(12)))


def _assert_holds(memory: MemoryBank, corrections: Corrections, frames: list[int]) -> None:
    """Check that the permanent frames of a memory are these corrected ones."""
    assert memory.permanent_slots == tuple(len(frames) * n for n in (64, 16, 4))
    found = corrections.keys_and_values(frames)
    for i, (scale, end) in enumerate(zip(memory.scales, memory.permanent_slots, strict=True)):
        slots = scale.slots(0, end)
        for own, entry in ((slots.keys, 0), (slots.values, 1)):
            expected = torch.cat([written[entry][i].flatten(2).transpose(1, 2) for written in found], 1)
            torch.testing.assert_close(own, expected)


@torch.no_grad()
def test_the_nearest_frames_take_the_place_of_others_in_memory(corrections: Corrections) -> None:
    propagation = _start()
    propagation.take_nearest(0, corrections)
    _assert_holds(propagation.memory, corrections, list(range(8)))
    (features,) = corrections.features([3])
    propagation.memory.write(features.keys, features.values)
    propagation.take_nearest(20, corrections)
    _assert_holds(propagation.memory, corrections, list(range(4, 12)))
    # The frame that was written on the way stays.
    assert propagation.memory.sizes.tolist() == [[9 * 64, 9 * 16, 9 * 4]]
    torch.testing.assert_close(
        propagation.memory.scales[2].slots(8 * 4, 9 * 4).keys, features.keys[2].flatten(2).transpose(1, 2)
    )


@torch.no_grad()
def test_a_correction_that_was_taken_back_does_not_enter_the_memory(corrections: Corrections) -> None:
    propagation = _start()
    propagation.take_nearest(0, corrections)
    corrections.remove(9)
    propagation.take_nearest(20, corrections)
    _assert_holds(propagation.memory, corrections, [3, 4, 5, 6, 7, 8, 10, 11])
    for frame in (*range(9), 10, 11):
        corrections.remove(frame)
    propagation.take_nearest(0, corrections)
    assert propagation.memory.is_empty


@torch.no_grad()
@pytest.mark.parametrize("version", ["now", "before the bound"])
def test_it_resumes_with_the_frames_in_its_memory(corrections: Corrections, version: str) -> None:
    propagation = _start(frame=21)
    propagation.take_nearest(20, corrections)
    propagation.count = 3
    state = propagation.state_dict()
    if version == "before the bound":
        del state["permanent"], state["first"]
    again = Propagation.from_state_dict(state, MemoryBank(2), range(12))
    assert (again.frame, again.step, again.count, again.first) == (21, 1, 3, 0 if version == "now" else 21)
    corrections.store.network = None  # Nothing is encoded again.
    again.take_nearest(21, corrections)
    _assert_holds(again.memory, corrections, list(range(4, 12)))
    assert again.permanent == list(range(4, 12)) and again.corrected == list(range(12))


def test_a_scene_begins_with_an_empty_memory_and_the_count_of_skipped_writes(corrections: Corrections) -> None:
    propagation = _start()
    propagation.take_nearest(0, corrections)
    propagation.memory.skipped_writes = torch.tensor([3])
    propagation.begin_scene(7, MemoryBank(2))
    assert propagation.memory.is_empty and propagation.permanent == []
    assert (propagation.first, propagation.count) == (7, 0)
    assert propagation.state_dict()["first"] == 7 and propagation.memory.skipped_writes.tolist() == [3]
