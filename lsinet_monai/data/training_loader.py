"""The loader of training batches."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import DataLoader
from torch.utils.data import Dataset, Sampler

__all__ = ["TrainingLoader"]


class TrainingLoader(DataLoader):
    """Load training batches in processes that live as long as the training, and into pinned memory for a GPU.

    Args:
        dataset: the samples, such as :class:`TrainingDataset`.
        sampler: draws the samples of an epoch, such as :class:`TrainingSampler`.
        batch_size: the number of samples in a batch.
        num_workers: the number of processes that load them; 0 loads them in this process.
        seed: of the workers' random numbers.
    """

    def __init__(
        self, dataset: Dataset[Any], sampler: Sampler[Any], batch_size: int, num_workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__(
            dataset,
            sampler=sampler,
            batch_size=batch_size,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Else the workers' seed would be drawn from PyTorch's generator, which a resumed training restores.
            generator=torch.Generator().manual_seed(seed),
        )
