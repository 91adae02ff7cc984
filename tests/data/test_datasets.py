from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from PIL import Image

from lsinet_monai.data import ClipPieces, FrameCache, TrainingDataset, TrainingSampler
from lsinet_monai.errors import InputError
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
        return {"clip_id": f"TrainDataset/{name}", "image": frames, "label": masks}

    return make


def grey_levels(image):
    """The grey level of every frame of a normalised clip, in tens: the number of the frame."""
    return (image[0].mean((1, 2)) * 0.229 + 0.485).mul(25.5).round().int().tolist()


def as_negative(clip):
    return {**clip, "label": None, "negative": True}


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("lookahead", [True, False])
def test_pieces_cover_every_frame_once(make_clip, length, lookahead):
    clips = [make_clip(length), make_clip(3, "case2")]
    pieces = ClipPieces(clips, 8, piece_frames=4, lookahead=lookahead)
    items = [pieces[index] for index in range(len(pieces))]
    for clip in clips:
        of_clip = [item for item in items if item["clip_id"] == clip["clip_id"]]
        assert [item["is_last"] for item in of_clip] == [False] * (len(of_clip) - 1) + [True]
        labels = torch.cat([item["label"] for item in of_clip], dim=1)
        assert labels.dtype == torch.uint8 and labels.shape == (1, len(clip["image"]), *SIZE)
        assert labels.sum((0, 2, 3)).tolist() == [SIZE[1] * (n + 1) for n in range(len(clip["image"]))]
        for item in of_clip:
            start, frames = item["frame_index"], item["label"].shape[1]
            ahead = lookahead and not item["is_last"]
            assert grey_levels(item["image"]) == list(range(start, start + frames + ahead))


def test_items_hold_labels_as_the_clip_has_them(make_clip):
    clip = make_clip(3)
    labelled = ClipPieces([clip], (8, 10), piece_frames=2)[0]
    assert labelled["image"].shape == (3, 3, 8, 10) and labelled["image"].dtype == torch.float32
    negative = ClipPieces([as_negative(clip)], 8, piece_frames=2)[0]
    assert negative["label"].shape == (1, 2, *SIZE) and not negative["label"].any()
    unlabelled = ClipPieces([{**clip, "label": None}], 8)[0]
    assert set(unlabelled) == {"image", "clip_id", "frame_index", "is_last"}


def test_pieces_pass_a_loader_with_workers(make_clip):
    loader = DataLoader(ClipPieces([make_clip(3)], 8, piece_frames=2), batch_size=1, num_workers=1)
    first, second = loader
    assert first["image"].shape == (1, 3, 3, 8, 8) and second["label"].shape == (1, 1, 1, *SIZE)
    assert first["clip_id"] == ["TrainDataset/case1"]
    assert (second["frame_index"].tolist(), second["is_last"].tolist()) == ([2], [True])


def test_a_piece_has_frames(make_clip):
    with pytest.raises(InputError, match="piece_frames 0"):
        ClipPieces([make_clip(1)], 8, piece_frames=0)


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


def test_a_training_item_from_memory_is_that_from_files(make_clip):
    clips = [make_clip(5), as_negative(make_clip(4, "case2"))]
    cache = FrameCache(clips, max_gb=1, progress=False)
    for augment in (True, False):
        read, kept = (TrainingDataset(clips, training_transforms(8, augment, c)) for c in (None, cache))
        for sample in TrainingSampler(clips):
            one, other = read[sample], kept[sample]
            assert all(torch.equal(one[key], other[key]) for key in one)
