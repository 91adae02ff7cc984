import numpy as np

from lsinet_monai.data.stills.look import Look

SIZE = (48, 64)
FRAME = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def test_no_strength_changes_nothing():
    for seed in range(10):
        look = Look(np.random.default_rng(seed), SIZE, 0)
        assert np.abs(look(FRAME, 3, np.random.default_rng(0)).astype(int) - FRAME).max() <= 1  # rounding


def test_looks_differ_and_stay_frames():
    brightness = []
    for seed in range(30):
        changed = Look(np.random.default_rng(seed), SIZE)(FRAME, 3, np.random.default_rng(0))
        assert changed.shape == FRAME.shape and changed.dtype == np.uint8
        brightness.append(changed.mean())
    assert np.std(brightness) > 10


def test_exposure_changes_slowly():
    look = Look(np.random.default_rng(1), SIZE)
    brightness = [look(FRAME, time, np.random.default_rng(0)).mean() for time in range(60)]
    assert 0 < np.abs(np.diff(brightness)).max() < 10
