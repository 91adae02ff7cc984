from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import PromptedFrame
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.inferers.prompted_frame import PromptStore
from lsinet_monai.networks import LSINet

SIZE = (72, 120)
FRAME = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def network(prompt_network: LSINet) -> LSINet:
    return prompt_network


@pytest.fixture
def frame(network: LSINet) -> PromptedFrame:
    return PromptedFrame(network, FRAME, (64, 96))


@pytest.fixture
def steps(network: LSINet, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of each pass of the head."""
    counts: list[int] = []
    refine = LSINet.refine

    def counting(self: LSINet, features: Any, detail: Any, points: Any, labels: Any, *others: Any) -> Any:
        counts.append(int((labels >= 0).sum()))
        return refine(self, features, detail, points, labels, *others)

    monkeypatch.setattr(LSINet, "refine", counting)
    return counts


THREE = [[30.0, 20.0], [90.0, 50.0], [60.5, 35.5]]


def test_the_mask_does_not_depend_on_the_calls_before(network: LSINet, frame: PromptedFrame) -> None:
    for count in (1, 2, 3, 2, 1):
        frame.segment(THREE[:count], [1, 0, 1][:count])
    one_by_one = frame.segment(THREE, [1, 0, 1])
    at_once = PromptedFrame(network, FRAME, (64, 96)).segment(THREE, [1, 0, 1])
    assert one_by_one.shape == SIZE and one_by_one.dtype == bool
    assert np.array_equal(one_by_one, at_once)


def test_a_further_point_costs_one_pass_and_taking_one_back_none(frame: PromptedFrame, steps: list[int]) -> None:
    frame.segment(THREE[:2], [1, 0])
    assert steps == [1, 2]
    frame.segment(THREE, [1, 0, 1])
    assert steps == [1, 2, 3]
    frame.segment(THREE[:2], [1, 0])
    assert steps == [1, 2, 3]
    frame.segment(THREE[:2], [1, 1])  # the second point has another label now
    assert steps == [1, 2, 3, 2]


def test_a_box_has_a_pass_of_its_own(frame: PromptedFrame, steps: list[int]) -> None:
    frame.segment([], [], box=[10, 10, 80, 60])
    frame.segment(THREE[:1], [1], box=[10, 10, 80, 60])
    assert steps == [0, 1]
    frame.segment(THREE[:1], [1], box=[10, 10, 81, 60])  # another box: from the start
    assert steps == [0, 1, 0, 1]


def test_a_mask_to_start_from_acts_and_a_first_lesion_starts_from_the_frames(network: LSINet) -> None:
    half = np.zeros(SIZE, bool)
    half[:, :60] = True
    given = PromptedFrame(network, FRAME, (64, 96)).segment(THREE[:1], [1], mask=half)
    from_nothing = PromptedFrame(network, FRAME, (64, 96)).segment(THREE[:1], [1])
    assert not np.array_equal(given, from_nothing)
    corrected = PromptedFrame(network, FRAME, (64, 96), mask=half)
    assert np.array_equal(corrected.segment(THREE[:1], [1], lesion=2), from_nothing)
    assert np.array_equal(corrected.segment(THREE[:1], [1]), given)
    with pytest.raises(InputError, match="give a mask of its size"):
        PromptedFrame(network, FRAME, (64, 96), mask=half[:10])


def test_lesions_are_joined_and_removed(frame: PromptedFrame) -> None:
    assert not frame.mask.any()
    one, two = frame.segment(THREE[:1], [1]), frame.segment(THREE[1:2], [1], lesion=2)
    assert np.array_equal(frame.mask, one | two) and frame.lesions == [1, 2]
    frame.remove(1)
    frame.remove(7)
    assert np.array_equal(frame.mask, two) and not frame.is_empty
    frame.remove(2)
    assert not frame.mask.any() and frame.is_empty


def test_the_mask_that_a_frame_had_is_lesion_1_until_points_change_it(network: LSINet) -> None:
    half = np.zeros(SIZE, bool)
    half[:, :60] = True
    frame = PromptedFrame(network, FRAME, (64, 96), mask=half)
    assert np.array_equal(frame.mask, half) and not frame.lesions
    two = frame.segment(THREE[1:2], [1], lesion=2)
    assert np.array_equal(frame.mask, half | two)
    one = frame.segment(THREE[:1], [1])
    assert np.array_equal(frame.mask, one | two)
    frame.remove(1)
    assert np.array_equal(frame.mask, half | two)
    frame.remove(2)
    assert np.array_equal(frame.mask, half) and not frame.is_empty


@torch.no_grad()
def test_points_are_in_the_frames_pixels(network: LSINet) -> None:
    enlarged = PromptedFrame(network, FRAME.repeat(2, 0).repeat(3, 1), SIZE)
    same = PromptedFrame(network, FRAME, SIZE)
    mask = enlarged.segment([[90.0, 40.0]], [1])
    # Nearest enlargement and antialiased reduction give the frame back, so only the masks' outlines may differ.
    small = same.segment([[30.0, 20.0]], [1])
    assert (mask[::2, ::3] != small).mean() < 0.05


@torch.no_grad()
def test_what_the_head_sees_in_a_window(network: LSINet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def keep(self: LSINet, features: Any, detail: Any, *prompts: Any) -> torch.Tensor:
        seen.append(prompts)
        return torch.ones(1, 1, 16, 24)

    monkeypatch.setattr(LSINet, "refine", keep)
    frame = PromptedFrame(network, FRAME, (64, 96))  # of 72 x 120: 0.8 and 0.889 pixels of the network to one
    start = np.zeros(SIZE, bool)
    start[36:45, 50:65] = True  # 40 to 52 across and 32 to 40 down for the network: a window of a quarter, 24 x 16
    frame.segment([[57.5, 40.5], [2, 2]], [1, 0], mask=start)
    points, labels, box, mask = seen[0]
    # The window begins at 34, 28, and is seen four times as large.
    torch.testing.assert_close(points, torch.tensor([[[(46 - 34) * 4.0, (36 - 28) * 4.0]]]))
    assert labels.tolist() == [[1]] and box is None
    assert mask.shape == (1, 1, 16, 24)
    assert mask[0, 0, 8, 12] > 0.99 and mask[0, 0, 1, 1] < 0.01
    assert seen[1][1].tolist() == [[1]]  # the second point lies outside the window


REFUSED = [
    ({"points": [], "labels": []}, "nothing to segment"),
    ({"points": [[1, 2]], "labels": [1, 0]}, r"points must be \(N, 2\)"),
    ({"points": [1, 2], "labels": [1, 0]}, r"points must be \(N, 2\)"),
    ({"points": [[1, 2]], "labels": [2]}, "labels must be 1"),
    ({"points": [[121, 2]], "labels": [1]}, "must lie in the frame, which is 120 x 72"),
    ({"points": [[float("nan"), 2]], "labels": [1]}, "must lie in the frame"),
    ({"points": [], "labels": [], "box": [10, 10, 10, 20]}, "box="),
    ({"points": [], "labels": [], "box": [10, 10, 20]}, "box="),
    ({"points": [], "labels": [], "box": "abc"}, "box="),
    ({"points": [[1, 2], [3]], "labels": [1, 0]}, "points="),
    ({"points": [], "labels": [], "box": [10, 10, 200, 20]}, "must lie in the frame"),
    ({"points": [[1, 2]], "labels": [1], "mask": np.zeros((4, 4), bool)}, "give a mask of its size"),
]


@pytest.mark.parametrize(("prompts", "message"), REFUSED)
def test_what_is_refused_leaves_no_lesion(frame: PromptedFrame, prompts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        frame.segment(**prompts)
    assert not frame.mask.any()


def test_a_network_without_a_head_is_refused(small_network: LSINet) -> None:
    with pytest.raises(InputError, match="no prompt head"):
        PromptedFrame(small_network, FRAME, (64, 96))


@pytest.fixture
def store(network: LSINet) -> PromptStore:
    frames = [np.roll(FRAME, shift, 1) for shift in range(20)]
    return PromptStore(FeatureStore(network, frames, (64, 96), capacity=2))


def test_a_store_keeps_the_prompts_of_16_frames(store: PromptStore) -> None:
    opened = [store.open(frame, np.roll(FRAME, frame, 1), None) for frame in range(16)]
    assert store.open(0, FRAME, None) is opened[0]
    store.open(16, np.roll(FRAME, 16, 1), None)  # in place of frame 1, which was used before frame 0
    assert store.open(0, FRAME, None) is opened[0]
    assert store.open(1, np.roll(FRAME, 1, 1), None) is not opened[1]
    store.forget(0)
    store.forget(19)
    assert store.open(0, FRAME, None) is not opened[0]


def test_a_store_takes_the_features_that_are_there(store: PromptStore, network: LSINet) -> None:
    expected = PromptedFrame(network, FRAME, (64, 96)).segment(THREE, [1, 0, 1])
    assert np.array_equal(store.open(0, FRAME, None).segment(THREE, [1, 0, 1]), expected)


def test_a_store_says_what_is_left_of_a_frame(store: PromptStore) -> None:
    half = np.zeros(SIZE, bool)
    half[:, :60] = True
    for mask in (None, half):
        store.forget(3)
        frame = store.open(3, np.roll(FRAME, 3, 1), mask)
        frame.segment(THREE[:1], [1])
        two = frame.segment(THREE[1:2], [1], lesion=2)
        left = store.remove(3, 1)
        assert left is not None and np.array_equal(left, two if mask is None else half | two)
        left = store.remove(3, 2)
        assert left is None if mask is None else np.array_equal(left, half)


@pytest.mark.parametrize(("frame", "lesion"), [(3, 2), (4, 1)])
def test_points_that_a_store_does_not_have(store: PromptStore, frame: int, lesion: int) -> None:
    store.open(3, FRAME, None).segment(THREE[:1], [1])
    with pytest.raises(InputError, match=rf"^frame {frame} has no points of lesion {lesion}, .* with remove_mask"):
        store.remove(frame, lesion)
