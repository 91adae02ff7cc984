import numpy as np
import pytest
from PIL import Image, ImageDraw

from lsinet_monai.data.stills import EFFECTS, StillClip
from lsinet_monai.errors import InputError

SIZE = (64, 80)
CALM = dict.fromkeys(EFFECTS, 0)


def make_still(height=120, width=150):
    """A red square with a green disc, which is the polyp, so that colours tell where the polyp is."""
    mask = Image.new("1", (width, height))
    ImageDraw.Draw(mask).ellipse((50, 40, 80, 70), fill=1)
    mask = np.array(mask)
    still = np.where(mask[..., None], np.array([40, 200, 40]), np.array([200, 40, 40])).astype(np.uint8)
    return still, mask


def green(frame):
    return frame[..., 1] > frame[..., 0]


@pytest.mark.parametrize("seed", range(12))
def test_the_mask_follows_the_polyp(seed):
    clip = StillClip(*make_still(), SIZE, seed, effects=CALM, look=0)
    for index in (0, 20, 59):
        frame, mask = clip.frame(index)
        assert frame.shape == (*SIZE, 3) and frame.dtype == np.uint8
        assert mask.shape == SIZE and mask.dtype == bool
        outside = frame.sum(axis=2) < 60  # the rim of the field of view
        assert (green(frame) ^ mask)[~outside].mean() < 0.01


def test_a_clip_is_what_its_seed_says_in_any_order():
    first, again = (StillClip(*make_still(), SIZE, 5) for _ in range(2))
    in_order = list(first)
    assert len(first) == len(in_order) == 60
    for index in (59, 3, 30):
        frame, mask = again.frame(index)
        assert (frame == in_order[index][0]).all() and (mask == in_order[index][1]).all()
    other = StillClip(*make_still(), SIZE, 6)
    assert (other.frame(3)[0] != in_order[3][0]).any()


def test_the_camera_moves_smoothly():
    clip = StillClip(*make_still(), SIZE, 2, effects=CALM, look=0)
    steps = [np.abs(clip.frame(i)[1].astype(int) - clip.frame(i + 1)[1]).mean() for i in range(20)]
    far = np.abs(clip.frame(0)[1].astype(int) - clip.frame(40)[1]).mean()
    assert 0 < max(steps) < far


@pytest.mark.parametrize("seed", range(8))
def test_an_empty_clip_looks_away_from_the_polyp(seed):
    clip = StillClip(*make_still(300, 400), SIZE, seed, effects=CALM, empty=True)
    assert clip.frame(0)[1].mean() < 0.05


def test_an_absence_takes_the_polyp_out_of_view_and_brings_it_back():
    for seed in range(20):
        clip = StillClip(*make_still(300, 400), SIZE, seed, effects=CALM | {"absence": 0.3}, frames=120)
        away = [index for index in range(120) if "absence" in clip.effects_at(index)]
        if away and away[-1] < 110:
            break
    areas = np.array([clip.frame(index)[1].mean() for index in range(120)])
    assert areas.min() < 0.2 * np.median(np.delete(areas, away))
    assert areas[away[-1] + 1] > 0


@pytest.mark.parametrize("effect", sorted(EFFECTS.keys() - {"absence"}))
def test_effects_change_frames_in_their_episodes_only(effect):
    still, mask = make_still()
    plain = StillClip(still, mask, SIZE, 4, effects=CALM, look=0)
    spoiled = StillClip(still, mask, SIZE, 4, effects=CALM | {effect: 0.4}, look=0)
    hit = [index for index in range(60) if effect in spoiled.effects_at(index)]
    assert 0 < len(hit) < 60
    for index in range(60):
        same = (plain.frame(index)[0] == spoiled.frame(index)[0]).all()
        assert same or index in hit
    assert any((plain.frame(index)[0] != spoiled.frame(index)[0]).any() for index in hit)
    cut = [(plain.frame(index)[1] & ~spoiled.frame(index)[1]).any() for index in hit]
    if effect in ("glare", "smoke", "defocus", "shake"):
        assert not any(cut), "the polyp lies under it"


@pytest.mark.parametrize("effect", ["instrument", "rim"])
def test_what_hides_the_polyp_cuts_the_mask_off(effect):
    still, mask = np.full((120, 120, 3), (180, 40, 180), np.uint8), np.ones((120, 120), bool)  # nothing else is purple
    for seed in range(4):
        clip = StillClip(still, mask, SIZE, seed, effects=CALM | {effect: 0.5}, look=0)
        for index in range(0, 60, 3):
            frame, visible = clip.frame(index)
            purple = frame[..., [0, 2]].min(axis=2) > frame[..., 1] + 40.0
            assert (purple ^ visible).mean() < 0.05  # but for soft edges


def test_stills_without_a_polyp_and_all_polyp():
    still, _ = make_still()
    for mask in (np.zeros(still.shape[:2], bool), np.ones(still.shape[:2], bool)):
        for empty in (False, True):
            _, drawn = StillClip(still, mask, SIZE, 1, effects=CALM, empty=empty).frame(0)
            assert drawn.any() == mask.any()


def test_a_black_still_and_a_small_one():
    for still in (np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 90, np.uint8)):
        StillClip(still, np.zeros((32, 32), bool), SIZE, 1).frame(10)


@pytest.mark.parametrize(
    ("effects", "message"), [({"fog": 0.1}, "fog"), ({"glare": 2}, "from 0 to 1"), ({"glare": True}, "True")]
)
def test_unknown_effects_and_shares_are_refused(effects, message):
    with pytest.raises(InputError, match=message):
        StillClip(*make_still(), SIZE, effects=effects)
