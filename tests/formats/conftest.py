"""A clip for all formats: two lesions that come and go, one with a hole, and a frame that is missing."""

from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.formats import ClipInfo


@pytest.fixture
def clip() -> ClipInfo:
    seconds = {index: index / 25 for index in (2, 3, 4, 6, 7)}
    return ClipInfo("case1/part2", (60, 80), frame_count=9, seconds=seconds, fps=25)


@pytest.fixture
def labels() -> dict[int, np.ndarray]:
    """Frame index -> labels; there is no frame 5, nor any before 2."""
    y, x = np.mgrid[:60, :80]
    ring, disc = np.hypot(y - 30, x - 25), np.hypot(y - 30, x - 62)
    first, second = (ring < 20) & (ring > 8), disc < 12
    empty = np.zeros((60, 80), bool)
    frames = {2: (first, empty), 3: (first, second), 4: (empty, second), 6: (first, second), 7: (empty, empty)}
    return {index: (a + 4 * b).astype(np.int32) for index, (a, b) in frames.items()}


@pytest.fixture
def attributes() -> dict[int, dict[str, object]]:
    """Of both lesions in every frame."""
    return {1: {"score": 0.75, "remark": 'flat {0} <&> "IIa"'}, 4: {"score": 0.5, "remark": ""}}
