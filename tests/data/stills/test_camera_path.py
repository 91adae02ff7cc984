import numpy as np
import pytest

from lsinet_monai.data.stills.camera_path import CameraPath, Drift, Episodes, clearest_window

WINDOW = np.array([60.0, 50.0, 40.0, 30.0])
SIZE = (64, 80)


def look(path, time):
    """Where the middle of the frame lies in the picture."""
    x, y, w = path.matrix(time, SIZE) @ (SIZE[1] / 2, SIZE[0] / 2, 1)
    return np.array([x / w, y / w])


def test_a_drift_is_smooth_and_small():
    drift = Drift(np.random.default_rng(0), 4)
    values = np.stack([drift(time) for time in range(500)])
    assert values.shape == (500, 4)
    assert np.abs(np.diff(values, axis=0)).max() < 0.5 and np.abs(values).max() <= np.sqrt(3)


def test_twice_the_speed_is_half_the_time():
    calm, quick = (Drift(np.random.default_rng(1), 2, speed) for speed in (1, 2))
    assert np.allclose(quick(10), calm(20))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_episodes_take_their_share_of_the_frames(share):
    rng = np.random.default_rng(2)
    clips = [Episodes(rng, share, 100) for _ in range(200)]
    seen = np.mean([bool(clip.at(time)) for clip in clips for time in range(100)])
    assert share / 2 <= seen <= share


def test_the_progress_of_an_episode():
    episodes = Episodes(np.random.default_rng(0), 0.5, 1000, (10, 10))
    by_seed = {}
    for time in range(1000):
        for seed, progress in episodes.at(time):
            by_seed.setdefault(seed, []).append(progress)
    whole = [steps for steps in by_seed.values() if len(steps) == 10]
    assert whole and all(np.allclose(np.diff(steps), 0.1) and 0 <= steps[0] < 0.1 for steps in whole)


@pytest.mark.parametrize("seed", range(6))
def test_the_camera_stays_near_its_window(seed):
    path = CameraPath(np.random.default_rng(seed), WINDOW)
    for time in range(0, 300, 20):
        assert (np.abs(look(path, time) - WINDOW[:2]) < 0.3 * WINDOW[2:] + 1e-6).all()


def test_the_camera_looks_away_in_absences_only():
    away = np.array([200.0, 50.0, 40.0, 30.0])
    absences = Episodes(np.random.default_rng(3), 0.3, 300, (20, 20))
    path = CameraPath(np.random.default_rng(0), WINDOW, away=away, absences=absences)
    for time in range(300):
        absence = path.absence(time)
        assert (absence > 0) <= bool(absences.at(time))
        if absence in (0, 1):
            assert np.abs(look(path, time)[0] - (away if absence else WINDOW)[0]) < 15


def test_the_clearest_window():
    mask = np.zeros((100, 120), bool)
    mask[:, :60] = True
    x, y, width, height = clearest_window(np.random.default_rng(0), mask, 0.4)
    assert (width, height) == (48, 40) and x - width / 2 >= 60 and 20 <= y <= 80
    assert clearest_window(np.random.default_rng(0), mask, 0.9) is None
    assert clearest_window(np.random.default_rng(0), mask, 0.9, allowed=0.6) is not None
