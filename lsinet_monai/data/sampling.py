"""Training samples: which frames form one, and in which order they come (LSI-Net, MICCAI 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from lsinet_monai.data.clips import Clip
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, check_numbers

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
    """Draw the samples of an epoch; by default, each frame of each clip is the current frame once.

    The adjacent frame is the next frame; for the last frame of a clip, the one before. The memory frame is drawn
    uniformly from the ``max_skip`` frames before the current one, or from fewer at the start of a clip; for the first
    frame, it is the second. In a clip of one frame, all three are that frame.

    ``seed`` and the epoch's number alone determine an epoch. So a resumed training needs no state of this sampler, and
    can continue from the middle of an epoch.

    Args:
        clips: the training clips.
        max_skip: how far back the memory frame may lie, in frames, at least 1: one number for all epochs, or one for
            each stage of ``epochs_per_stage`` epochs; the last stage has no end. The default is the released
            curriculum.
        epochs_per_stage: the length of a stage in epochs, at least 1.
        shuffle: draw a new order of the samples for every epoch. If off, they come clip by clip, frame by frame.
        seed: seed of all epochs, at least 0.
        balance_clips: give every clip the same number of current frames in an epoch. Frames of long clips are left out,
            and frames of short clips are repeated. The total stays the same, for clips with a polyp and for negative
            clips alike.
        negative_share: the fraction of an epoch's samples that come from negative clips, in (0, 1). They are drawn
            again for every epoch; the number of samples from other clips stays the same. None uses every frame of the
            negative clips.
        stills_share: the fraction of an epoch's samples that come from stills, in (0, 1), as ``negative_share``. None
            uses every still once. The number of samples from clips with a polyp stays the same.
        rank: the rank that this sampler serves, in [0, ``num_replicas``).
        num_replicas: the number of ranks. Every rank gets the same number of samples: the first samples of the
            epoch are repeated to fill the last ranks.

    Raises:
        InputError: if there are no clips; if ``max_skip`` or ``epochs_per_stage`` is below 1; or if ``negative_share``
            or ``stills_share`` is outside (0, 1), or is given without clips of its kind and others.
        ValueError: if ``rank`` is not in [0, ``num_replicas``).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        max_skip: int | Sequence[int] = (5, 10, 15, 20, 25, 5),
        epochs_per_stage: int = 5,
        shuffle: bool = True,
        seed: int = 0,
        balance_clips: bool = False,
        negative_share: float | None = None,
        stills_share: float | None = None,
        rank: int = 0,
        num_replicas: int = 1,
    ) -> None:
        if not clips:
            raise InputError("there are no clips to train on")
        check_numbers(max_skip=max_skip, epochs_per_stage=epochs_per_stage, seed=seed)
        check_numbers(negative_share=negative_share, stills_share=stills_share)
        self.max_skip = tuple(max_skip) if isinstance(max_skip, Sequence) else (max_skip,)
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank {rank} is not in [0, {num_replicas})")
        lengths = [len(clip["image"]) for clip in clips]
        starts = np.cumsum([0, *lengths])
        # The frames of each clip, by kind; and how many samples an epoch draws from a kind.
        kinds: dict[str, list[np.ndarray]] = {}
        for clip, first, end in zip(clips, starts, starts[1:], strict=False):
            kind = "stills" if clip.get("still") else "negative" if clip.get("negative") else "polyp"
            kinds.setdefault(kind, []).append(np.arange(first, end))
        counts = {kind: sum(map(len, kinds[kind])) for kind in kinds}
        counts |= _counts_by_share(counts, {"negative": negative_share, "stills": stills_share})
        self._groups = [(kinds[kind], counts[kind]) for kind in ("polyp", "negative", "stills") if kind in kinds]
        self.epochs_per_stage = epochs_per_stage
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.epoch = 1
        self.first = 0
        self.balance_clips = as_bool(balance_clips, "balance_clips")
        self.negative_share = negative_share
        self.stills_share = stills_share
        self._clips = np.repeat(np.arange(len(lengths)), lengths)
        self._frames = np.concatenate([np.arange(length) for length in lengths])
        self._last_frames = np.repeat(lengths, lengths) - 1

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its sampler, by config key."""
        return {
            "max_skip": self.max_skip,
            "seed": self.seed,
            "balance_clips": self.balance_clips,
            "negative_share": self.negative_share,
            "stills_share": self.stills_share,
            "sampler#epochs_per_stage": self.epochs_per_stage,
            "sampler#shuffle": self.shuffle,
        }

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Set the epoch that the next iteration draws.

        Args:
            epoch: its number, counted from 1.
            first: the number of samples to skip at its start, on every rank.
        """
        self.epoch = epoch
        self.first = first

    @property
    def current_max_skip(self) -> int:
        """How far back the memory frame may lie in the current epoch, in frames."""
        stage = (self.epoch - 1) // self.epochs_per_stage
        return self.max_skip[min(stage, len(self.max_skip) - 1)]

    def __len__(self) -> int:
        return -(-sum(count for _, count in self._groups) // self.num_replicas)

    def __iter__(self) -> Iterator[TrainingSample]:
        # Each rank draws the whole epoch and then takes its part, so that all ranks agree.
        generator = np.random.default_rng((self.seed, self.epoch))
        chosen = np.concatenate([self._choose(clips, count, generator) for clips, count in self._groups])
        order = generator.permutation(len(chosen)) if self.shuffle else np.arange(len(chosen))
        current, last = self._frames[chosen], self._last_frames[chosen]
        adjacent = np.where(current < last, current + 1, np.maximum(current - 1, 0))
        earliest = np.maximum(current - self.current_max_skip, 0)
        drawn = generator.integers(earliest, np.maximum(current, 1))
        memory = np.where(current > 0, drawn, np.minimum(last, 1))
        seeds = generator.integers(2**32, size=len(current))

        samples = np.stack([self._clips[chosen], current, adjacent, memory, seeds], axis=1)
        padded = np.resize(order, len(self) * self.num_replicas)
        for index in padded[self.rank :: self.num_replicas][self.first :]:
            yield TrainingSample(*samples[index].tolist())

    def _choose(self, clips: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
        """Choose ``count`` frames of the clips; each frame once if they have as many."""
        frames = np.concatenate(clips)
        if not self.balance_clips:
            return frames if count == len(frames) else np.resize(generator.permutation(frames), count)
        counts = np.full(len(clips), count // len(clips))
        counts[generator.permutation(len(clips))[: count % len(clips)]] += 1
        parts = [np.resize(generator.permutation(clip), n) for clip, n in zip(clips, counts, strict=True)]
        return np.concatenate(parts)


_SOURCES = {"negative": "without a polyp, from negative_dir", "stills": "of stills, from stills_dir"}


def _counts_by_share(counts: Mapping[str, int], shares: Mapping[str, float | None]) -> dict[str, int]:
    """Turn shares of an epoch into numbers of samples, next to the samples of the other kinds."""
    given = {kind: share for kind, share in shares.items() if share is not None}
    for kind, share in given.items():
        name = "negative_share" if kind == "negative" else "stills_share"
        if kind not in counts:
            raise InputError(f"{name} {share} needs training clips {_SOURCES[kind]}")
        if counts.keys() <= given.keys():
            raise InputError(f"{name} {share} needs training clips with a polyp")
    rest = sum(count for kind, count in counts.items() if kind not in given)
    left = 1 - sum(given.values())
    if left <= 0:
        raise InputError(f"negative_share and stills_share must be below 1 in all, not {sum(given.values()):g}")
    return {kind: max(1, round(rest * share / left)) for kind, share in given.items()}
