"""A sample of a training: three frames and their masks, as arrays and as files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

SIZE = (40, 60)
FRAMES = ("image", "adjacent", "memory")
MASKS = ("label", "memory_mask")


@pytest.fixture
def sample():
    """Three frames that encode one mask: white inside a rectangle off the centre, black outside."""
    mask = np.zeros(SIZE, np.uint8)
    mask[5:20, 8:30] = 255
    frame = np.repeat(mask[..., None], 3, axis=2)
    return {**dict.fromkeys(FRAMES, frame), **dict.fromkeys(MASKS, mask)}


@pytest.fixture
def paths(tmp_path, sample):
    found = {}
    for key, array in sample.items():
        found[key] = str(tmp_path / f"{key}.png")
        Image.fromarray(array).save(found[key])
    return found
