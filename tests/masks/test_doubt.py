"""Which frames and videos a person should look at first."""

from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.masks import (
    doubtful_places,
    expected_error,
    fault_doubts,
    frame_doubts,
    mask_change,
    temporal_disagreement,
    video_doubt,
)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [([0, 0, 0], [0, 0, 0], 0), ([1, 1, 0], [1, 1, 0], 0), ([1, 0, 0], [0, 1, 0], 1), ([1, 1, 0], [0, 1, 0], 0.5)],
)
def test_mask_change(before: list[int], after: list[int], change: float) -> None:
    assert mask_change(np.array([before], bool), np.array([after], bool)) == change


@pytest.mark.parametrize(
    ("changes", "disagreements"),
    [
        ([None, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]),  # a frame that flickers
        ([None, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]),  # a polyp that appears and remains
        ([None, None], [None, None]),
        ([], []),
    ],
)
def test_temporal_disagreement(changes: list[float | None], disagreements: list[float | None]) -> None:
    assert temporal_disagreement(changes) == disagreements


@pytest.mark.parametrize(
    ("probability", "mask", "error"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 0.0),
        ([0.5, 0.5, 0, 0], [1, 1, 0, 0], 1 / 3),  # a truth of one pixel inside a mask of two
        ([1, 1, 0.5, 0.5], [1, 1, 0, 0], 0.2),  # a truth of three pixels around it
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        ([0, 0, 0, 0], [1, 1, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
        ([0.4, 0.4, 0.4, 0.4], [0, 0, 0, 0], 0.4),  # the score of a frame without a mask
    ],
)
def test_expected_error(probability: list[float], mask: list[int], error: float) -> None:
    found = expected_error(np.array([probability], np.float32), np.array([mask], bool))
    assert found == pytest.approx(error, abs=1e-6)


def test_the_expected_error_is_the_mean_over_many_truths() -> None:
    rng = np.random.default_rng(0)
    probability = np.clip(rng.normal(0.5, 0.3, (40, 40)), 0, 1)
    mask = probability > 0.5
    truths = rng.random((200, 40, 40)) < probability
    dices = [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for truth in truths]
    assert expected_error(probability, mask) == pytest.approx(1 - np.mean(dices), abs=0.01)


def test_a_map_with_nan_has_no_expected_error() -> None:
    with pytest.raises(InputError, match="NaN"):
        expected_error(np.array([[np.nan, 0.5]]), np.array([[True, False]]))


@pytest.mark.parametrize(
    ("flags", "gaps"),
    [
        ("++-++", [2]),
        ("++--------++", []),  # no frame is within 2 frames of a polyp before and after
        ("+--+-+", [1, 2, 4]),
        ("+-?", []),  # the other side is unknown
        ("--+--", []),  # a polyp that appears, and one that leaves
        ("+-?+", [1]),
        ("", []),
    ],
)
def test_a_gap_in_the_track_is_doubtful(flags: str, gaps: list[int]) -> None:
    has_polyp = [{"+": True, "-": False, "?": None}[flag] for flag in flags]
    errors = [0.2 if flag is not None else None for flag in has_polyp]
    doubts = fault_doubts(errors, has_polyp, fps=2)
    assert doubts == [0.6 if frame in gaps else error for frame, error in enumerate(errors)]


def test_frame_doubts() -> None:
    assert frame_doubts([0.5, 0.5, None], [0.1, None, 0.9]) == [0.3, 0.25, None]


@pytest.mark.parametrize(
    ("doubts", "doubt"), [([0.0] * 18 + [1.0, 0.5], 0.75), ([None, 0.25], 0.25), ([None], None), ([], None)]
)
def test_video_doubt(doubts: list[float | None], doubt: float | None) -> None:
    assert video_doubt(doubts) == doubt


@pytest.mark.parametrize(
    ("doubts", "left_out", "places"),
    [
        ([], (), []),
        ([None, None], (), []),
        ([0.0] * 9, (), []),
        ([0, 0, 0, 0.5, 0, 0, 0, 0], (), [3]),  # a lone frame is in the middle
        ([0, 0, 0, 0.5, 0, 0, 0, 0], (3,), []),
        ([0.4, 0, 0, 0, 0, 0.3, 0.3, 0.3], (), [6, 0]),  # a stretch before a lone frame that is more doubtful
        ([0.4, 0, 0, 0, 0, 0.3, 0.3, 0.3], (6,), [0, 5, 7]),
        ([0.4, 0, 0, 0, 0, 0.3, None, None], (), [0, 5]),
        ([0.3] * 9, (), [1, 4, 7]),  # a long stretch has several
    ],
)
def test_doubtful_places(doubts: list[float | None], left_out: tuple[int, ...], places: list[int]) -> None:
    found = list(doubtful_places(doubts, 2, left_out))
    assert [frame for frame, _ in found] == places
    known = [doubts[frame] for frame, _ in found]
    assert all(0 < share <= 1 for _, share in found) and None not in known


def test_what_a_person_has_seen_is_in_no_place() -> None:
    assert [frame for frame, _ in doubtful_places([0.3] * 9, 2, seen=(1, 8))] == [4, 6]


def test_the_doubt_of_a_place_is_a_mean() -> None:
    assert list(doubtful_places([0, 0.3, 0.6, 0.3, 0], 2)) == [(2, pytest.approx(0.4))]
