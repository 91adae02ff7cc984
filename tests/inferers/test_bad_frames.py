from __future__ import annotations

import numpy as np
import pytest
import torch

from lsinet_monai.data import frames_to_tensor
from lsinet_monai.inferers.bad_frames import (
    EMPTY_LOGIT,
    are_blank,
    are_finite,
    are_left_empty,
    finite_or_own,
    leave_empty,
)
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.networks import Features

BAD = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("value", BAD)
def test_one_value_makes_its_clip_not_finite(value: float) -> None:
    x, y = torch.zeros(3, 2, 4, 4), torch.zeros(3, 1)
    x[1, 1, 2, 3] = value
    y[2] = value
    assert are_finite([x, y]).tolist() == [True, False, False]


def test_frames_of_one_colour() -> None:
    frames = torch.tensor([-2.0, 0.5, 1.0]).view(1, 3, 1, 1).repeat(4, 1, 8, 8)
    frames[1, 2, 4:, 4:] += 0.2
    frames[3] = float("nan")  # A comparison with NaN is false: are_finite finds this one.
    assert are_blank(frames).tolist() == [True, False, True, False]


def test_an_adjacent_frame_that_is_not_finite() -> None:
    current = Features((torch.ones(2, 1, 2, 2), torch.ones(2, 1, 1, 1)), (), ())
    adjacent = Features((torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 1, 1), 3.0)), (), ())
    adjacent.features[1][1] = float("nan")
    for x in finite_or_own(adjacent, current).features:
        assert (x[0] == 3).all() and (x[1] == 1).all()


@pytest.mark.parametrize("value", BAD)
def test_a_frame_is_left_empty(value: float) -> None:
    logit = torch.randn(2, 1, 4, 4)
    logit[0, 0, 0, 0] = value
    left = leave_empty(logit)
    assert (left[0] == EMPTY_LOGIT).all() and torch.equal(left[1], logit[1])
    assert are_left_empty(left).tolist() == [[True], [False]]
    assert (logit_to_probability(left, (7, 9))[0] == 0).all()


@pytest.mark.parametrize(
    ("name", "is_blank"), [("noise", True), ("text", True), ("a picture in a corner", False), ("a dim picture", False)]
)
@pytest.mark.parametrize("colour", [0, 90, 255])
def test_frames_that_show_next_to_nothing(name: str, is_blank: bool, colour: int) -> None:
    random = np.random.default_rng(0)
    frame = np.full((96, 120, 3), float(colour))
    if name == "noise":
        frame += random.normal(0, 3, frame.shape)
    elif name == "text":
        frame[3:11, 4:60] = 255 * (random.random((8, 56, 1)) < 0.5)
    elif name == "a picture in a corner":
        frame[:32, :40] = random.integers(60, 200, (4, 5, 3)).repeat(8, 0).repeat(8, 1)
    else:
        frame += 20 * np.sin(np.arange(120) / 20)[None, :, None]
    clip = frames_to_tensor([frame.clip(0, 255).astype(np.uint8)], (96, 96))
    assert are_blank(clip.movedim(1, 0)).tolist() == [is_blank]
