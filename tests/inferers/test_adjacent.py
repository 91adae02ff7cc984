from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from lsinet_monai.inferers import adjacent
from lsinet_monai.inferers.adjacent import ClearestFrame, choose_adjacent
from lsinet_monai.networks import Features

CLIPS = [
    # The clarity of each frame, and which frame is then the adjacent one of each.
    ([1.0, 1.0, 1.0, 1.0], [1, 2, 3, 2]),
    ([1.0, 0.1, 0.1, 0.1, 1.0], [1, 0, 0, 4, 0]),  # Of two that are as far the one after it, else the nearer one.
    ([0.1, 0.1, 1.0, 0.1, 0.1, 0.1], [1, 2, 3, 2, 2, 2]),
    ([1.0, 0.99, 0.99], [1, 0, 1]),  # A little clearer is not worth being farther away.
    ([1.0, -math.inf, -math.inf, 1.0], [1, 0, 3, 0]),
]


def _frame(*numbers: float) -> Features:
    """A batch of frames that say which they are."""
    values = torch.tensor(numbers, dtype=torch.float32)[:, None, None, None]
    return Features(tuple(values.expand(-1, 32, side, side) for side in (4, 2, 1)), (), ())


@pytest.fixture
def set_clarity(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[float]]:
    """For each clip of a batch the clarity of its frames, which the test sets."""
    clips: list[Sequence[float]] = []

    def clarity(frame: Features, usable: torch.Tensor | None = None) -> torch.Tensor:
        return torch.tensor([clip[int(n)] for clip, n in zip(clips, frame.features[0][:, 0, 0, 0], strict=True)])

    monkeypatch.setattr(adjacent, "clarity", clarity)
    return clips


def _adjacent_of_each(frames: int, batch: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(batch)]
    clearest = None
    for index in range(frames):
        current = _frame(*[index] * batch)
        following = _frame(*[index + 1] * batch) if index + 1 < frames else None
        chosen = choose_adjacent(current, following, None, clearest)
        for row, clip in enumerate(found):
            assert len({float(x[row].mean()) for x in chosen.features}) == 1  # one frame at all strides
            clip.append(int(chosen.features[0][row, 0, 0, 0]))
        clearest = ClearestFrame.after(clearest, current)
    return found


@pytest.mark.parametrize(("clarities", "expected"), CLIPS)
def test_the_clearest_frame(set_clarity: list[Sequence[float]], clarities: list[float], expected: list[int]) -> None:
    set_clarity.append(clarities)
    assert _adjacent_of_each(len(clarities), 1) == [expected]


def test_clips_of_a_batch_have_frames_of_their_own(set_clarity: list[Sequence[float]]) -> None:
    set_clarity += [[1.0, 0.1, 0.1, 0.1], [0.1, 1.0, 0.1, 0.1]]
    assert _adjacent_of_each(4, 2) == [[1, 0, 0, 0], [1, 2, 1, 1]]


def test_it_is_the_best_by_clarity_and_distance(set_clarity: list[Sequence[float]]) -> None:
    clip = torch.rand(40, generator=torch.Generator().manual_seed(0)).mul(0.5).tolist()
    set_clarity.append(clip)
    for index, found in enumerate(_adjacent_of_each(len(clip), 1)[0]):
        others = [other for other in range(min(index + 2, len(clip))) if other != index]
        assert found == max(others, key=lambda other: clip[other] - 0.02 * abs(other - index))


def test_a_clip_is_saved_and_loaded(set_clarity: list[Sequence[float]]) -> None:
    set_clarity.append([1.0, 0.1])
    clearest = ClearestFrame.after(ClearestFrame.after(None, _frame(0)), _frame(1))
    loaded = ClearestFrame.from_list(clearest.to_list())
    assert loaded.worth == clearest.worth == pytest.approx(0.96)
    assert all(torch.equal(x, y) for x, y in zip(loaded.features, _frame(0).features, strict=True))


def test_without_the_clearest_it_is_a_frame_beside_it() -> None:
    current, following, previous = _frame(1), _frame(2), _frame(0)
    assert choose_adjacent(current, following, previous, None) is following
    assert choose_adjacent(current, None, previous, None) is previous
    assert choose_adjacent(current, None, None, None) is current
