from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from PIL import Image

from lsinet_monai.data import Clip, FrameCache, TrainingDataset, TrainingSampler
from lsinet_monai.transforms import training_transforms

SIZE = (12, 16)


@pytest.fixture
def make_clip(tmp_path):
    """Write clips whose frame number n has the grey level 10 n, and a polyp in its first n + 1 rows."""

    def make(length, name="case1"):
        frames, masks = [], []
        for frame in range(length):
            frames.append(str(tmp_path / f"{name}_{frame}.png"))
            masks.append(str(tmp_path / f"{name}_{frame}_mask.png"))
            Image.new("RGB", SIZE[::-1], (10 * frame,) * 3).save(frames[-1])
            mask = np.zeros(SIZE, np.uint8)
            mask[: frame + 1] = 255
            Image.fromarray(mask).save(masks[-1])
        return Clip(f"TrainDataset/{name}", image=frames, label=masks)

    return make


def grey_levels(image):
    """The grey level of every frame of a normalised clip, in tens: the number of the frame."""
    return (image[0].mean((1, 2)) * 0.229 + 0.485).mul(25.5).round().int().tolist()


def as_negative(clip):
    return replace(clip, label=None, negative=True)


def test_a_training_item_is_the_sample_it_was_asked_for(make_clip):
    clip = make_clip(6)
    dataset = TrainingDataset([clip, as_negative(clip)], training_transforms(SIZE, augment=False))
    assert len(dataset) == 12
    for sample in TrainingSampler(dataset.clips):
        item = dataset[sample]
        shown = [grey_levels(item[key][:, None]) for key in ("image", "adjacent", "memory")]
        assert shown == [[sample.current], [sample.adjacent], [sample.memory]]
        rows = [item[key].sum().item() / SIZE[1] for key in ("label", "memory_mask")]
        assert rows == ([sample.current + 1, sample.memory + 1] if sample.clip == 0 else [0, 0])


def test_a_training_item_has_the_masks_of_all_three_frames(make_clip):
    clip = make_clip(6)
    dataset = TrainingDataset([clip, as_negative(clip)], training_transforms(SIZE, augment=False, every_frame=True))
    for sample in TrainingSampler(dataset.clips):
        rows = (dataset[sample]["label"].sum((1, 2)) / SIZE[1]).tolist()
        frames = [sample.current + 1, sample.adjacent + 1, sample.memory + 1]
        assert rows == (frames if sample.clip == 0 else [0, 0, 0])


def test_augmentation_does_not_depend_on_workers(make_clip):
    dataset = TrainingDataset([make_clip(5)], training_transforms(8))
    sampler = TrainingSampler(dataset.clips)
    alone, shared = (list(DataLoader(dataset, workers, batch_size=2, sampler=sampler)) for workers in (0, 2))
    assert [len(batch["image"]) for batch in alone] == [2, 2, 1]
    for one, other in zip(alone, shared, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_list_of_transforms_is_composed_and_seeded_without_none(make_clip):
    clips = [make_clip(5)]
    composed = training_transforms(8)
    of_list = TrainingDataset(clips, [*composed.transforms[:1], None, *composed.transforms[1:]])
    whole = TrainingDataset(clips, training_transforms(8))
    for sample in TrainingSampler(clips):
        one, other = of_list[sample], whole[sample]
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_training_item_from_memory_is_that_from_files(make_clip):
    clips = [make_clip(5), as_negative(make_clip(4, "case2"))]
    cache = FrameCache(clips, max_gb=1).fill(progress=False)
    for augment in (True, False):
        read, kept = (TrainingDataset(clips, training_transforms(8, augment, c)) for c in (None, cache))
        for sample in TrainingSampler(clips):
            one, other = read[sample], kept[sample]
            assert all(torch.equal(one[key], other[key]) for key in one)
