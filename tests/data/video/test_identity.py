from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.data import is_same_picture, phantom_clip, resize_frame, thumbnail
from lsinet_monai.errors import InputError

SIZES = [(32, 32), (48, 64), (16, 16), (8, 8)]
KINDS = {  # a thumbnail as it is stored, today and by older versions
    "array": thumbnail,
    "tensor": lambda frame: torch.from_numpy(thumbnail(frame)),
    "list": lambda frame: thumbnail(frame).ravel().tolist(),
    "8x8 array": lambda frame: resize_frame(frame, (8, 8)),
    "8x8 list": lambda frame: resize_frame(frame, (8, 8)).ravel().tolist(),
}
CHANGES = {  # a frame after another decoder, codec or size
    "nothing": lambda frame: frame,
    "strong JPEG": lambda frame: _jpeg(frame, 20),
    "a little brighter": lambda frame: np.clip(frame.astype(int) + 4, 0, 255).astype(np.uint8),
    "half the size": lambda frame: resize_frame(frame, (48, 64)),
    "its thumbnail": thumbnail,
}
BAD = [[], [1, 2, 3, 4], [0] * 6, np.zeros((8, 8))]


def _jpeg(frame, quality):
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


@pytest.fixture(scope="module")
def frames():
    """One frame of each of four phantom clips."""
    return [next(phantom_clip(1, (96, 128), seed=seed))[0] for seed in range(4)]


@pytest.mark.parametrize("size", SIZES)
def test_thumbnail_is_small_and_its_own_thumbnail(size):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    small = thumbnail(frame)
    assert small.shape == (16, 16, 3) and small.dtype == np.uint8
    np.testing.assert_array_equal(thumbnail(small), small)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_frame_decoded_otherwise_is_the_same_picture(frames, kind, change):
    assert all(is_same_picture(KINDS[kind](frame), CHANGES[change](frame)) for frame in frames)


@pytest.mark.parametrize("kind", KINDS)
def test_other_videos_are_other_pictures(frames, kind):
    stored = [KINDS[kind](frame) for frame in frames]
    found = [[is_same_picture(small, frame) for frame in frames] for small in stored]
    np.testing.assert_array_equal(found, np.eye(4, dtype=bool))


@pytest.mark.parametrize("level, same", [(108, True), (109, False), (92, True), (91, False)])
def test_the_limit_is_the_same_for_every_size(level, same):
    frame = np.full((32, 32, 3), level, np.uint8)
    for side in (8, 16):
        assert is_same_picture(np.full((side, side, 3), 100, np.uint8), frame) is same


@pytest.mark.parametrize("stored", BAD)
def test_values_that_are_not_a_square_picture_are_refused(stored):
    with pytest.raises(InputError, match=f"has {np.size(stored)} values"):
        is_same_picture(stored, np.zeros((32, 32, 3), np.uint8))
