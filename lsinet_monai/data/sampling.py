"""Which frames make a training sample, and in which order the samples come (LSI-Net, MICCAI 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from lsinet_monai.data.sun_seg import Clip
from lsinet_monai.errors import InputError

__all__ = ["TrainingSample", "TrainingSampler"]


class TrainingSample(NamedTuple):
    """Three frames of one clip that train together."""

    clip: int
    """Index of the clip in the list of clips."""
    current: int
    """Index of the current frame in its clip."""
    adjacent: int
    """Index of the adjacent frame."""
    memory: int
    """Index of the memory frame."""
    seed: int
    """Seeds the augmentation of this sample, in [0, 2^32)."""


class TrainingSampler(Sampler[TrainingSample]):
    """Draw the samples of an epoch: every frame of every clip once as the current frame.

    The adjacent frame is the next one (for the last frame: the one before). The memory frame is drawn uniformly from
    the ``max_skip`` frames before the current one, as far as the clip reaches (for the first frame: the second). A clip
    of one frame takes that frame for all three.

    An epoch follows from ``seed`` and its number alone, so that a resumed training needs no state of this sampler.

    Args:
        clips: the training clips.
        max_skip: how far back the memory frame may lie, in frames, at least 1: one number for all epochs, or one for
            each stage of ``epochs_per_stage`` epochs, of which the last one lasts. The default is the released
            curriculum.
        epochs_per_stage: the epochs for which each number of ``max_skip`` holds.
        shuffle: draw the order of the samples anew in every epoch; otherwise clip by clip, frame by frame.
        seed: not negative.
        rank: which share of the samples to give, in [0, ``num_replicas``).
        num_replicas: into how many shares the samples are dealt out. All have one length: samples are repeated from the
            start of the epoch to fill the last ones.

    Raises:
        InputError: no clips, or a ``max_skip`` or ``epochs_per_stage`` below 1.
        ValueError: ``rank`` is not in [0, ``num_replicas``).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        max_skip: int | Sequence[int] = (5, 10, 15, 20, 25, 5),
        epochs_per_stage: int = 5,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        num_replicas: int = 1,
    ) -> None:
        self.max_skip = (max_skip,) if isinstance(max_skip, int) else tuple(max_skip)
        if not clips:
            raise InputError("there are no clips to train on")
        if not self.max_skip or min(self.max_skip) < 1 or epochs_per_stage < 1:
            raise InputError(f"max_skip {max_skip} and epochs_per_stage {epochs_per_stage} must be 1 or more")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank {rank} is not in [0, {num_replicas})")
        lengths = [len(clip["image"]) for clip in clips]
        self.epochs_per_stage = epochs_per_stage
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.epoch = 1
        self._clips = np.repeat(np.arange(len(lengths)), lengths)
        self._frames = np.concatenate([np.arange(length) for length in lengths])
        self._last_frames = np.repeat(lengths, lengths) - 1

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration draws, counted from 1."""
        self.epoch = epoch

    @property
    def current_max_skip(self) -> int:
        """How far back the memory frame may lie in the present epoch, in frames."""
        stage = (self.epoch - 1) // self.epochs_per_stage
        return self.max_skip[min(stage, len(self.max_skip) - 1)]

    def __len__(self) -> int:
        return -(-len(self._frames) // self.num_replicas)

    def __iter__(self) -> Iterator[TrainingSample]:
        # Everything is drawn for all ranks before they take their shares, so that no two ranks disagree.
        generator = np.random.default_rng((self.seed, self.epoch))
        current, last = self._frames, self._last_frames
        order = generator.permutation(len(current)) if self.shuffle else np.arange(len(current))
        adjacent = np.where(current < last, current + 1, np.maximum(current - 1, 0))
        earliest = np.maximum(current - self.current_max_skip, 0)
        drawn = generator.integers(earliest, np.maximum(current, 1))
        memory = np.where(current > 0, drawn, np.minimum(last, 1))
        seeds = generator.integers(2**32, size=len(current))

        samples = np.stack([self._clips, current, adjacent, memory, seeds], axis=1)
        padded = np.resize(order, len(self) * self.num_replicas)
        for index in padded[self.rank :: self.num_replicas]:
            yield TrainingSample(*samples[index].tolist())
