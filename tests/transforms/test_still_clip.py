import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.transforms import RandStillClipd

FRAMES = ("image", "adjacent", "memory")
MASKS = ("label", "adjacent_label", "memory_mask")


def sample(still=True):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (90, 120, 3), np.uint8)
    mask = np.zeros((90, 120), np.uint8)
    mask[30:60, 40:80] = 255
    return {"still": still, **dict.fromkeys(FRAMES, frame), **dict.fromkeys(MASKS, mask)}


@pytest.mark.parametrize("masks", [MASKS, ("label", "memory_mask")])
def test_three_frames_of_one_clip(masks):
    transform = RandStillClipd(FRAMES, masks, [64, 96], effects={"absence": 0})
    transform.set_random_state(3)
    drawn = transform(sample())
    assert "still" not in drawn
    for key in FRAMES:
        assert drawn[key].shape == (64, 96, 3) and drawn[key].dtype == np.uint8
    for key in masks:
        assert drawn[key].shape == (64, 96) and set(np.unique(drawn[key])) <= {0, 255}
    assert (drawn["image"] != drawn["adjacent"]).any() and (drawn["image"] != drawn["memory"]).any()

    def moved(key):
        return np.mean(drawn["label"] != drawn[key])

    if "adjacent_label" in masks:
        assert moved("adjacent_label") <= moved("memory_mask")


def test_the_random_state_decides():
    transform = RandStillClipd(FRAMES, MASKS, 64)
    draws = []
    for seed in (1, 1, 2):
        transform.set_random_state(seed)
        draws.append(transform(sample())["image"])
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()


def test_real_frames_pass_unchanged():
    data = sample(still=False)
    passed = RandStillClipd(FRAMES, MASKS, 64)(data)
    assert all(passed[key] is data[key] for key in FRAMES + MASKS)


def test_clips_without_a_polyp():
    transform = RandStillClipd(FRAMES, MASKS, 64, empty_share=0, phantom_share=1.0, phantoms=1)
    transform.set_random_state(0)
    assert not transform(sample())["label"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_skip": 0}, "max_skip=0"),
        ({"max_skip": 59}, "max_skip=59"),
        ({"empty_share": -0.1}, "empty_share=-0.1"),
        ({"phantom_share": "much"}, "phantom_share='much'"),
        ({"empty_share": 0.7, "phantom_share": 0.5}, "in all"),
        ({"effects": {"fog": 1}}, "fog"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        RandStillClipd(FRAMES, MASKS, 64, **arguments)
