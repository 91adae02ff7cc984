from __future__ import annotations

from collections import Counter

import pytest

from lsinet_monai.data import TrainingSampler
from lsinet_monai.errors import InputError

LENGTHS = [1, 2, 3, 40]
CLIPS = [{"clip_id": f"case{n}", "image": ["x"] * n} for n in LENGTHS]

# epoch, and how far back its memory frames may lie
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
