from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import PromptedFrame
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
    assert np.array_equal(corrected.segment(THREE[:1], [1], lesion=4), given)
    assert np.array_equal(corrected.segment(THREE[:1], [1], lesion=2), from_nothing)


def test_lesions_are_joined_and_removed(frame: PromptedFrame) -> None:
    assert not frame.mask.any()
    one, two = frame.segment(THREE[:1], [1]), frame.segment(THREE[1:2], [1], lesion=2)
    assert np.array_equal(frame.mask, one | two)
    frame.remove(1)
    frame.remove(7)
    assert np.array_equal(frame.mask, two)


@torch.no_grad()
def test_points_are_in_the_frames_pixels(network: LSINet) -> None:
    enlarged = PromptedFrame(network, FRAME.repeat(2, 0).repeat(3, 1), SIZE)
    same = PromptedFrame(network, FRAME, SIZE)
    mask = enlarged.segment([[90.0, 40.0]], [1])
    # Nearest enlargement and antialiased reduction give the frame back, so only the masks' outlines may differ.
    small = same.segment([[30.0, 20.0]], [1])
    assert (mask[::2, ::3] != small).mean() < 0.05


REFUSED = [
    ({"points": [], "labels": []}, "nothing to segment"),
    ({"points": [[1, 2]], "labels": [1, 0]}, r"points must be \(N, 2\)"),
    ({"points": [1, 2], "labels": [1, 0]}, r"points must be \(N, 2\)"),
    ({"points": [[1, 2]], "labels": [2]}, "labels must be 1"),
    ({"points": [[121, 2]], "labels": [1]}, "must lie in the frame, which is 120 x 72"),
    ({"points": [[float("nan"), 2]], "labels": [1]}, "must lie in the frame"),
    ({"points": [], "labels": [], "box": [10, 10, 10, 20]}, "box="),
    ({"points": [], "labels": [], "box": [10, 10, 20]}, "box="),
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
