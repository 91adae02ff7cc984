"""Which frames and videos a person should look at first."""

from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.masks import frame_doubts, mask_change, temporal_disagreement, video_doubt


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


def test_frame_doubts() -> None:
    assert frame_doubts([0.5, 0.5, None], [0.1, None, 0.9]) == [0.3, 0.25, None]


@pytest.mark.parametrize(
    ("doubts", "doubt"), [([0.0] * 18 + [1.0, 0.5], 0.75), ([None, 0.25], 0.25), ([None], None), ([], None)]
)
def test_video_doubt(doubts: list[float | None], doubt: float | None) -> None:
    assert video_doubt(doubts) == doubt
