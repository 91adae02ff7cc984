from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers import EMPTY_LOGIT, smoothing
from lsinet_monai.inferers.smoothing import SmoothedLogit, smooth
from lsinet_monai.networks import Features

SHARE = 0.4


def _frames(count: int, change: float, batch: int = 1) -> list[Features]:
    """Features that change from frame to frame by so much; those of the next one are then alike by 1 - change."""
    generator = torch.Generator().manual_seed(0)
    walls = [torch.randn(batch, 8, 12, 12, generator=generator) for _ in range(count + 1)]
    mixed = [math.sqrt(1 - change) * walls[-1] + math.sqrt(change) * wall for wall in walls[:-1]]
    return [Features((x, x, x), (), ()) for x in mixed]


def _logits(count: int, batch: int = 1) -> list[Tensor]:
    return list(torch.randn(count, batch, 1, 24, 24, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def clear(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """The clarity of frames by their place in a clip, 0 if it is not set."""
    known: dict[int, float] = {}
    count = iter(range(100))

    def clarity(frame: Features, usable: Tensor | None = None) -> Tensor:
        value = torch.full((len(frame.features[0]),), known.get(next(count), 0.0))
        return value if usable is None else torch.where(usable, value, -torch.inf)

    monkeypatch.setattr(smoothing, "clarity", clarity)
    return known


def _smooth(logits: list[Tensor], frames: list[Features], usable: dict[int, Tensor] | None = None) -> list[Tensor]:
    state: SmoothedLogit | None = None
    found = []
    for index, (logit, frame) in enumerate(zip(logits, frames, strict=True)):
        logit, state = smooth(state, logit, frame, SHARE, (usable or {}).get(index))
        found.append(logit)
    return found


@pytest.mark.usefixtures("clear")
def test_frames_of_a_video_keep_a_share_of_those_before() -> None:
    logits = _logits(4)
    found = _smooth(logits, _frames(4, 0.1))
    total, mean = 1.0, logits[0]
    for result, logit in zip(found[1:], logits[1:], strict=True):
        kept = SHARE * total
        mean, total = (kept * mean + logit) / (kept + 1), kept + 1
        torch.testing.assert_close(result, mean)
    torch.testing.assert_close(found[0], logits[0])


@pytest.mark.usefixtures("clear")
def test_frames_that_do_not_follow_one_another_stay() -> None:
    logits = _logits(4)
    for found, logit in zip(_smooth(logits, _frames(4, 0.8)), logits, strict=True):
        torch.testing.assert_close(found, logit)


def test_a_clear_frame_weighs_more(clear: dict[int, float]) -> None:
    logits, frames = _logits(3), _frames(3, 0.1)
    clear[2] = -math.log(2)  # half the spread, at one of the two strides: an eighth of the weight
    kept = SHARE * (SHARE + 1)
    expected = (kept * _smooth(logits[:2], frames[:2])[1] + logits[2] / 8) / (kept + 1 / 8)
    clear[4] = clear.pop(2)
    torch.testing.assert_close(_smooth(logits, frames)[2], expected)


@pytest.mark.usefixtures("clear")
def test_a_frame_that_shows_nothing_leaves_the_state() -> None:
    logits, frames = _logits(4), _frames(4, 0.1)
    found = _smooth(logits, frames, {2: torch.tensor([False])})
    without = _smooth(logits[:2] + logits[3:], frames[:2] + frames[3:])
    torch.testing.assert_close(found[2], logits[2])
    torch.testing.assert_close(found[3], without[2])


@pytest.mark.parametrize("index", [0, 2])
def test_a_frame_without_numbers_stays_empty_and_leaves_the_state(index: int) -> None:
    logits, frames = _logits(4), _frames(4, 0.1)
    logits[index] = torch.full_like(logits[index], EMPTY_LOGIT)
    frames[index] = Features(tuple(torch.full_like(x, math.nan) for x in frames[index].features), (), ())
    found = _smooth(logits, frames)
    others = [n for n in range(4) if n != index]
    expected = _smooth([logits[n] for n in others], [frames[n] for n in others])
    assert (found[index] == EMPTY_LOGIT).all()
    for n, logit in zip(others, expected, strict=True):
        torch.testing.assert_close(found[n], logit)


def test_clips_of_a_batch_are_smoothed_apart() -> None:
    logits, frames = _logits(4, 2), _frames(4, 0.1, 2)
    usable = {0: torch.tensor([True, False]), 2: torch.tensor([False, True])}
    together = _smooth(logits, frames, usable)
    for row in range(2):
        alone = _smooth(
            [logit[row : row + 1] for logit in logits],
            [Features(tuple(x[row : row + 1] for x in frame.features), (), ()) for frame in frames],
            {index: value[row : row + 1] for index, value in usable.items()},
        )
        for found, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(found[row : row + 1], expected)


def test_the_result_is_no_part_of_the_state() -> None:
    frames = _frames(2, 0.1)
    first, state = smooth(None, torch.ones(1, 1, 24, 24), frames[0], SHARE)
    first.zero_()
    assert (state.logit == 1).all()


def test_a_network_in_double_precision() -> None:
    frames = [Features(tuple(x.double() for x in frame.features), (), ()) for frame in _frames(2, 0.1)]
    _, state = smooth(None, _logits(2)[0].double(), frames[0], SHARE)
    assert smooth(state, _logits(2)[1].double(), frames[1], SHARE)[0].dtype == torch.float64
