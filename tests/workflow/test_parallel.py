from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from lsinet_monai.errors import InputError
from lsinet_monai.workflow import parallel

LENGTHS = [3, 50, 10, 40, 20, 30]
CLIPS = [{"clip_id": str(length), "image": ["x"] * length} for length in LENGTHS]


@pytest.fixture
def rank_of(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be one of several ranks."""

    def pretend(rank: int, count: int) -> None:
        monkeypatch.setattr(dist, "get_rank", lambda: rank)
        monkeypatch.setattr(dist, "get_world_size", lambda: count)

    return pretend


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_ranks_share_whole_clips(rank_of, count: int) -> None:
    shares = []
    for rank in range(count):
        rank_of(rank, count)
        shares.append(parallel.share_clips(CLIPS))
    dealt = [clip["clip_id"] for share in shares for clip in share]
    assert sorted(dealt) == sorted(clip["clip_id"] for clip in CLIPS)
    frames = [sum(len(clip["image"]) for clip in share) for share in shares]
    assert max(frames) - min(frames) <= max(LENGTHS)


def test_every_rank_has_a_clip_where_there_are_more_ranks(rank_of) -> None:
    shares = []
    for rank in range(5):
        rank_of(rank, 5)
        shares.append([clip["clip_id"] for clip in parallel.share_clips(CLIPS[:2])])
    assert shares == [["50"], ["3"], ["50"], ["3"], ["50"]]
    assert parallel.share_clips([]) == []


@pytest.mark.parametrize(("batch_size", "count", "share"), [(8, 1, 8), (8, 2, 4), (8, 8, 1)])
def test_local_batch_size(rank_of, batch_size: int, count: int, share: int) -> None:
    rank_of(0, count)
    assert parallel.local_batch_size(batch_size) == share


@pytest.mark.parametrize(("batch_size", "count", "next_one"), [(8, 3, 9), (1, 2, 2), (5, 4, 8)])
def test_a_batch_that_cannot_be_shared(rank_of, batch_size: int, count: int, next_one: int) -> None:
    rank_of(0, count)
    with pytest.raises(InputError, match=f"batch_size={batch_size} .*{count}.*batch_size={next_one}$"):
        parallel.local_batch_size(batch_size)


def test_alone_nothing_is_exchanged() -> None:
    assert parallel.is_alone()
    values = torch.tensor([1.0, 3.0])
    assert parallel.average(values).tolist() == [1, 3]
    assert parallel.gather("x") == ["x"]
