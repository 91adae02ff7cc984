import numpy as np
import pytest

from lsinet_monai.data import phantom_clip
from lsinet_monai.data.stills import EFFECTS, SPOILINGS, SpoiledClip, StillClip, Stretch, draw_stretches
from lsinet_monai.errors import InputError

SIZE = (96, 120)
CALM = dict.fromkeys(EFFECTS, 0)
IN_PLACE = ("blur", "glare", "smoke")  # they do not change the mask


def make_clip(seed=0, frames=60, share=0.2):
    """A still with mucosa in stripes and a green polyp, which takes a share of its width and height."""
    y, x = np.mgrid[:240, :300]
    mask = np.hypot((x - 100) / 300, (y - 120) / 240) < share / 2
    still = np.full((240, 300, 3), (200, 40, 40), np.uint8)
    still[x % 16 < 8] = (160, 30, 30)
    still[mask] = (40, 200, 40)
    return StillClip(still, mask, SIZE, seed, frames, CALM, look=0)


def equal(one, other):
    return all((a == b).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_stretches_are_apart_and_leave_half_of_the_clip_clean(seed):
    stretches = draw_stretches(seed, 60)
    assert sorted(stretch.length for stretch in stretches) == [1, 5, 20]
    spoiled = [index for stretch in stretches for index in stretch.frames]
    clean = np.diff([-1, *spoiled, 60]) - 1
    assert clean[0] >= 6 and clean[-1] >= 6 and sorted(clean[clean > 0])[0] >= 6
    assert stretches == draw_stretches(seed, 60) != draw_stretches(seed + 1, 60)


def test_lengths_and_kinds_take_turns():
    stretches = draw_stretches(0, 900)
    spoiled = sum(stretch.length for stretch in stretches)
    assert 400 < spoiled <= 450
    for length in (1, 5, 20):
        kinds = [stretch.kind for stretch in stretches if stretch.length == length]
        assert all(kinds.count(kind) in (len(kinds) // 6, len(kinds) // 6 + 1) for kind in SPOILINGS)


def test_short_clips_and_given_kinds():
    assert draw_stretches(0, 12) == []
    (stretch,) = draw_stretches(3, 13, (1,), ("water",))
    assert stretch.frames == range(6, 7) and stretch.kind == "water"
    with pytest.raises(InputError, match="fog"):
        draw_stretches(0, 60, kinds=("fog",))


@pytest.mark.parametrize("kind", SPOILINGS)
def test_frames_are_spoiled_in_their_stretch_alone(kind):
    clip = make_clip()
    stretch = Stretch(20, 5, kind, 7)
    spoiled, again = SpoiledClip(clip, [stretch]), SpoiledClip(clip, [stretch])
    assert len(spoiled) == 60
    backwards = {index: again.frame(index) for index in reversed(range(18, 27))}
    for index in range(18, 27):
        frame, mask = spoiled.frame(index)
        assert frame.shape == (*SIZE, 3) and frame.dtype == np.uint8 and mask.dtype == bool and mask.shape == SIZE
        assert equal((frame, mask), backwards[index])
        inside = index in range(20, 25)
        assert spoiled.spoiled_at(index) == (stretch if inside else None)
        assert equal((frame, mask), clip.frame(index)) != inside
        assert equal(spoiled.clean_frame(index), clip.frame(index))


@pytest.mark.parametrize("seed", range(4))
def test_the_truth_is_what_is_visible(seed):
    clip = make_clip(seed)
    stretches = [Stretch(8 * n, 3, kind, seed) for n, kind in enumerate(SPOILINGS)]
    spoiled = SpoiledClip(clip, stretches, 1.5)
    for stretch in stretches:
        for index in stretch.frames:
            whole, mask = clip.frame(index)[1], spoiled.frame(index)[1]
            if stretch.kind in IN_PLACE:
                assert (mask == whole).all()
            elif stretch.kind == "instrument":
                assert not (mask & ~whole).any()
            elif stretch.kind == "out of view":
                assert not mask.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.2, 3.0])
def test_out_of_view_shows_nothing_of_the_polyp(seed, share):
    """A polyp that fills every frame leaves the wall only, without any of its forms."""
    clip = make_clip(seed, share=share)
    spoiled = SpoiledClip(clip, [Stretch(10, 20, "out of view", seed)])
    for index in (10, 17, 29):
        frame, _ = spoiled.frame(index)
        if share < 1:
            assert not (frame[..., 1] > frame[..., 0] + 20.0).any()  # nothing green
        else:
            assert np.abs(np.diff(frame.astype(int), axis=1)).max() < 15


@pytest.mark.parametrize("kind", ["blur", "glare", "smoke"])
def test_strength_spoils_more(kind):
    clip = make_clip()
    clean = clip.frame(12)[0].astype(int)
    changes = []
    for strength in (0.3, 1.0, 2.0):
        clips = [SpoiledClip(clip, [Stretch(10, 5, kind, seed)], strength) for seed in range(8)]
        changes.append(np.mean([np.abs(one.frame(12)[0] - clean).mean() for one in clips]))
    assert 0 < changes[0] < changes[1] < changes[2]


def test_a_list_of_frames_is_a_clip_too():
    frames = list(phantom_clip(8, (64, 80), 0))
    spoiled = SpoiledClip(frames, [Stretch(2, 2, "smoke", 1)])
    assert equal(spoiled.frame(5), (frames[5][0], frames[5][1] > 0))
    assert (spoiled.frame(3)[0] != frames[3][0]).any()


@pytest.mark.parametrize("other", [Stretch(58, 3, "blur", 0), Stretch(8, 5, "glare", 0), Stretch(30, 2, "fog", 0)])
def test_stretches_that_do_not_fit_are_refused(other):
    with pytest.raises(InputError, match=r"apart from the others|fog"):
        SpoiledClip(make_clip(), [Stretch(10, 5, "blur", 0), other])
