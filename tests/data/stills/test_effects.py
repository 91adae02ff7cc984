import numpy as np
import pytest

from lsinet_monai.data.stills.effects import OBSTACLES, FieldRim

SIZE = (64, 80)


@pytest.mark.parametrize("name", OBSTACLES)
@pytest.mark.parametrize("seed", range(4))
def test_frames_and_masks_keep_their_form(name, seed):
    frame = np.full((*SIZE, 3), (150, 60, 50), np.uint8)
    frame[20:40, 30:60] = (220, 140, 130)
    mask = np.zeros(SIZE, bool)
    mask[20:40, 30:60] = True
    for progress in (0.0, 0.5, 0.99):
        spoiled, visible = OBSTACLES[name](frame, mask, progress, np.random.default_rng(seed))
        assert spoiled.shape == frame.shape and spoiled.dtype == np.uint8
        assert visible.shape == SIZE and visible.dtype == bool
        again, _ = OBSTACLES[name](frame, mask, progress, np.random.default_rng(seed))
        assert (again == spoiled).all()
        if name != "water":  # water bends the mask
            assert not (visible & ~mask).any()


def test_the_rim_is_dark_and_without_polyp():
    for seed in range(10):
        frame, visible = FieldRim(np.random.default_rng(seed), SIZE)(
            np.full((*SIZE, 3), 200, np.uint8), np.ones(SIZE, bool)
        )
        assert ((frame[..., 0] == 200) == visible).all()
        assert 0.6 < visible.mean() < 1 and visible[32, 40]
