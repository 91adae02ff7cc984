from __future__ import annotations

from collections import Counter

import pytest

from lsinet_monai.data import TrainingSampler
from lsinet_monai.data.clips import Clip
from lsinet_monai.errors import InputError

LENGTHS = [1, 2, 3, 40]
CLIPS = [{"clip_id": f"case{n}", "image": ["x"] * n} for n in LENGTHS]

# epoch, and the largest distance of its memory frames
CURRICULUM = [(1, 5), (5, 5), (6, 10), (11, 15), (16, 20), (21, 25), (25, 25), (26, 5), (200, 5)]


def draw(sampler, epoch=1):
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("epoch", range(1, 41))
def test_every_sample_keeps_the_rules(epoch):
    sampler = TrainingSampler(CLIPS)
    samples = draw(sampler, epoch)
    assert len(samples) == len(sampler) == sum(LENGTHS)
    assert len({(sample.clip, sample.current) for sample in samples}) == sum(LENGTHS)
    for clip, current, adjacent, memory, _ in samples:
        last = LENGTHS[clip] - 1
        if last == 0:
            assert (current, adjacent, memory) == (0, 0, 0)
            continue
        assert adjacent == (current + 1 if current < last else current - 1)
        if current == 0:
            assert memory == 1
        else:
            assert max(0, current - sampler.current_max_skip) <= memory < current


@pytest.mark.parametrize(("epoch", "max_skip"), CURRICULUM)
def test_the_released_curriculum(epoch, max_skip):
    sampler = TrainingSampler(CLIPS)
    sampler.set_epoch(epoch)
    assert sampler.current_max_skip == max_skip


def test_memory_frames_reach_all_of_max_skip_evenly():
    sampler = TrainingSampler(CLIPS[3:], max_skip=4)
    skips = Counter(s.current - s.memory for epoch in range(1, 101) for s in draw(sampler, epoch) if s.current >= 4)
    assert set(skips) == {1, 2, 3, 4}
    # 3600 draws: 900 each, with a standard deviation of 26
    assert all(abs(count - 900) < 130 for count in skips.values())


def test_an_epoch_follows_from_seed_and_number_alone():
    first = draw(TrainingSampler(CLIPS, seed=3), 7)
    resumed = TrainingSampler(CLIPS, seed=3)
    draw(resumed, 2)
    assert draw(resumed, 7) == first
    assert draw(resumed, 8) != first
    assert draw(TrainingSampler(CLIPS, seed=4), 7) != first
    assert len({sample.seed for sample in first}) == len(first)


def test_without_shuffle_frames_come_in_order():
    samples = draw(TrainingSampler(CLIPS, shuffle=False))
    assert [(s.clip, s.current) for s in samples] == [(c, f) for c, n in enumerate(LENGTHS) for f in range(n)]


@pytest.mark.parametrize("num_replicas", [1, 2, 3, 5, 100])
def test_ranks_share_the_samples(num_replicas):
    whole = draw(TrainingSampler(CLIPS))
    shares = [draw(TrainingSampler(CLIPS, rank=rank, num_replicas=num_replicas)) for rank in range(num_replicas)]
    length = -(-len(whole) // num_replicas)
    assert {len(share) for share in shares} == {length}
    dealt = [shares[at % num_replicas][at // num_replicas] for at in range(length * num_replicas)]
    assert dealt == [whole[at % len(whole)] for at in range(len(dealt))]


@pytest.mark.parametrize("wrong", [{"max_skip": 0}, {"max_skip": ()}, {"max_skip": (5, 0)}, {"epochs_per_stage": 0}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(InputError, match="1 or more"):
        TrainingSampler(CLIPS, **wrong)


def test_a_rank_and_clips_are_needed():
    with pytest.raises(ValueError, match="rank 2"):
        TrainingSampler(CLIPS, rank=2, num_replicas=2)
    with pytest.raises(InputError, match="no clips"):
        TrainingSampler([])


NEGATIVE = [{"clip_id": f"negative/case{n}", "image": ["x"] * n, "label": None, "negative": True} for n in (10, 100)]


@pytest.mark.parametrize("epoch", [1, 2])
def test_balanced_clips_come_equally_often(epoch):
    samples = draw(TrainingSampler(CLIPS + NEGATIVE, balance_clips=True), epoch)
    per_clip = Counter(sample.clip for sample in samples)
    # 46 frames of four clips with a polyp, 110 of two without one
    assert sorted(per_clip[clip] for clip in range(4)) == [11, 11, 12, 12]
    assert [per_clip[clip] for clip in (4, 5)] == [55, 55]
    long_clip = [sample.current for sample in samples if sample.clip == 3]
    assert len(set(long_clip)) == len(long_clip)
    assert len({sample.seed for sample in samples}) == len(samples)


def test_all_frames_of_a_long_clip_come_in_some_balanced_epoch():
    sampler = TrainingSampler(CLIPS, balance_clips=True)
    assert {s.current for epoch in range(1, 40) for s in draw(sampler, epoch) if s.clip == 3} == set(range(40))


# negative_share, and the number of negative frames per 46 frames with a polyp
SHARES = [(0.5, 46), (0.2, 12), (0.8, 184), (0.001, 1)]


@pytest.mark.parametrize(("share", "count"), SHARES)
@pytest.mark.parametrize("balance", [True, False])
def test_negative_share(share, count, balance):
    sampler = TrainingSampler(CLIPS + NEGATIVE, negative_share=share, balance_clips=balance)
    samples = draw(sampler)
    assert len(samples) == len(sampler) == 46 + count
    assert sum(sample.clip >= 4 for sample in samples) == count
    if not balance:
        assert len({(s.clip, s.current) for s in samples if s.clip < 4}) == 46
    assert Counter((s.clip, s.current) for s in draw(sampler, 2)) != Counter((s.clip, s.current) for s in samples)


@pytest.mark.parametrize(
    ("clips", "share", "message"),
    [(CLIPS, 0.5, "negative_dir"), (NEGATIVE, 0.5, "with a polyp"), (CLIPS + NEGATIVE, 1.0, "above 0 and below 1")],
)
def test_impossible_negative_shares_are_refused(clips, share, message):
    with pytest.raises(InputError, match=message):
        TrainingSampler(clips, negative_share=share)


@pytest.mark.parametrize("num_replicas", [1, 2])
@pytest.mark.parametrize("first", [0, 3, 20])
def test_an_epoch_resumes_from_its_middle(first, num_replicas):
    sampler = TrainingSampler(CLIPS, rank=num_replicas - 1, num_replicas=num_replicas)
    whole = draw(sampler, 3)
    sampler.set_epoch(3, first)
    assert list(sampler) == whole[first:]
    assert draw(sampler, 3) == whole


STILLS = [Clip(f"stills/{n}", image=["x"], still=True) for n in range(30)]


@pytest.mark.parametrize(("negative_share", "stills_share", "negative", "stills"), [
    (None, None, 110, 30), (None, 0.5, 110, 156), (0.25, 0.25, 23, 23),
])  # fmt: skip
def test_stills_share(negative_share, stills_share, negative, stills):
    clips = CLIPS + NEGATIVE + STILLS
    sampler = TrainingSampler(clips, negative_share=negative_share, stills_share=stills_share)
    samples = draw(sampler)
    kinds = Counter(next((kind for kind in ("still", "negative") if kind in clips[s.clip]), "polyp") for s in samples)
    assert kinds == {"polyp": 46, "negative": negative, "still": stills}
    assert all(s.current == s.adjacent == s.memory == 0 for s in samples if "still" in clips[s.clip])
    assert len({s.seed for s in samples}) == len(samples)


@pytest.mark.parametrize(("clips", "shares", "message"), [
    (CLIPS, {"stills_share": 0.5}, "stills_dir"),
    (STILLS, {"stills_share": 0.5}, "with a polyp"),
    (CLIPS + NEGATIVE + STILLS, {"stills_share": 0.5, "negative_share": 0.5}, "below 1 in all"),
])  # fmt: skip
def test_impossible_shares_of_stills_are_refused(clips, shares, message):
    with pytest.raises(InputError, match=message):
        TrainingSampler(clips, **shares)
