import numpy as np

from lsinet_monai.data.stills.warp import blur, displace, smooth_noise

RNG = np.random.default_rng(0)
FRAME = RNG.integers(0, 256, (40, 50, 3), np.uint8)
MASK = RNG.random((40, 50)) > 0.5


def test_smooth_noise_is_smooth_and_in_range():
    noise = smooth_noise(np.random.default_rng(1), 4, (80, 60))
    assert noise.shape == (80, 60) and noise.dtype == np.float32
    assert noise.min() >= 0 and noise.max() <= 1 and noise.std() > 0.1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.1


def test_no_shift_changes_nothing():
    frame, mask = displace(FRAME, MASK, np.zeros((2, 40, 50), np.float32))
    assert (frame == FRAME).all() and (mask == MASK).all()


def test_a_shift_looks_to_the_right_and_below():
    shift = np.zeros((2, 40, 50), np.float32)
    shift[0], shift[1] = 2 * 3 / 49, 2 * 5 / 39
    frame, mask = displace(FRAME, MASK, shift)
    assert (np.abs(frame[:-5, :-3].astype(int) - FRAME[5:, 3:]) <= 1).all()
    assert (mask[:-5, :-3] == MASK[5:, 3:]).all()


def test_blur_keeps_the_mean():
    soft = blur(FRAME, 2.0)
    assert soft.shape == FRAME.shape and soft.std() < FRAME.std() / 2 and abs(soft.mean() - FRAME.mean()) < 3
