from __future__ import annotations

import os

import pytest
import torch
from torch.utils.data import Dataset, SequentialSampler

from lsinet_monai.data import TrainingLoader


class _Numbers(Dataset[dict[str, int]]):
    """Samples that tell which process loaded them."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"number": index, "process": os.getpid()}


def test_processes_stay_for_the_next_epoch() -> None:
    dataset = _Numbers()
    loader = TrainingLoader(dataset, SequentialSampler(dataset), batch_size=2, num_workers=2)
    epochs = [list(loader) for _ in range(2)]
    for epoch in epochs:
        assert torch.cat([batch["number"] for batch in epoch]).tolist() == list(range(8))
    first, second = ({int(p) for batch in epoch for p in batch["process"]} for epoch in epochs)
    assert first == second and len(first) == 2 and os.getpid() not in first


@pytest.mark.parametrize("num_workers", [0, 1])
def test_random_numbers_of_the_training_are_left_alone(num_workers: int) -> None:
    dataset = _Numbers()
    state = torch.get_rng_state()
    list(TrainingLoader(dataset, SequentialSampler(dataset), batch_size=4, num_workers=num_workers))
    assert torch.equal(torch.get_rng_state(), state)
