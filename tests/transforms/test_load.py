from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.transforms import LoadFramesd

FRAMES = ("image", "adjacent", "memory")
MASKS = ("label", "memory_mask")
SIZE = (40, 60)


def test_load_reads_frames_and_masks(paths, sample):
    loaded = LoadFramesd(FRAMES, MASKS)(paths)
    for key, array in sample.items():
        np.testing.assert_array_equal(loaded[key], array)
    negative = LoadFramesd(FRAMES, MASKS)({**paths, **dict.fromkeys(MASKS)})
    assert all(negative[key].shape == SIZE and not negative[key].any() for key in MASKS)


def test_load_names_a_missing_file(paths):
    with pytest.raises(InputError, match=r"gone\.png"):
        LoadFramesd(FRAMES, MASKS)({**paths, "memory": "gone.png"})
