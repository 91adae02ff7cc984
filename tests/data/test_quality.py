"""Which frames are too blurred or too white to be worth a look."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lsinet_monai.data import frame_quality, phantom_clip, unclear_frames

FRAMES = [frame for frame, _ in phantom_clip(5, (192, 256), seed=1)]


def blurred(frame: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(6)))


def white(frame: np.ndarray) -> np.ndarray:
    """Glare over nine tenths of the frame, with a sharp edge."""
    frame = frame.copy()
    frame[: round(0.9 * len(frame))] = 250
    return frame


@pytest.mark.parametrize("spoil", [blurred, white])
def test_a_blurred_or_white_frame_is_unclear(spoil) -> None:
    frames = [*FRAMES[:2], spoil(FRAMES[2]), *FRAMES[3:]]
    assert unclear_frames([frame_quality(frame) for frame in frames]) == [2]


def test_a_frame_is_compared_with_its_own_video() -> None:
    assert unclear_frames([frame_quality(blurred(frame)) for frame in FRAMES]) == []


def test_a_frame_of_one_colour() -> None:
    assert frame_quality(np.full((64, 80, 3), 90, np.uint8)) == 0


@pytest.mark.parametrize(
    ("qualities", "unclear"), [([], []), ([None, None], []), ([None, 4.0, 1.0, 4.0], [2]), ([0.0, 0.0], [])]
)
def test_frames_of_unknown_quality_are_not_unclear(qualities: list[float | None], unclear: list[int]) -> None:
    assert unclear_frames(qualities) == unclear
