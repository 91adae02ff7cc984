from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import SelectItemsd
from PIL import Image

from lsinet_monai.data import TrainingDataset, TrainingSample, find_stills
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import FEATURE_KEYS, ClipTrainingInferer, StoredClips
from lsinet_monai.networks import LSINet
from lsinet_monai.transforms import LoadFramesd, RandSpoiledClipd

FRAMES = 4
SAMPLE = ("image", "label", "given_mask", "given_frame")


class _Counted(TrainingDataset):
    """Counts its samples."""

    drawn = 0

    def __getitem__(self, sample: TrainingSample) -> Any:
        self.drawn += 1
        return super().__getitem__(sample)


@pytest.fixture
def make(tmp_path: Path, small_network: LSINet) -> Any:
    """Make the stored clips of two stills, as a new run does."""
    rng = np.random.default_rng(0)
    for name in "ab":
        for folder, array in (("images", rng.integers(0, 255, (70, 80, 3), np.uint8)), ("masks", np.zeros((70, 80)))):
            (tmp_path / "stills" / folder).mkdir(parents=True, exist_ok=True)
            array[20:50, 20:50] = 255
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / "stills" / folder / f"{name}.png")

    def make_stored(network: LSINet = small_network, size: int = 64, **options: Any) -> StoredClips:
        spoil = RandSpoiledClipd("image", "label", size, FRAMES, 2, given_share=1.0)
        clips = find_stills(tmp_path / "stills")
        dataset = _Counted(clips, [LoadFramesd(["image"], ["label"]), spoil, SelectItemsd(SAMPLE)])
        return StoredClips(dataset, network, tmp_path / "features", settings=spoil.settings, **options)

    return make_stored


def _sample(clip: int, seed: int) -> TrainingSample:
    return TrainingSample(clip, 0, 0, 0, seed)


def test_a_stored_clip_trains_as_its_frames_do(make: Any, small_network: LSINet) -> None:
    stored, inferer = make(), ClipTrainingInferer(2)
    sample = stored[_sample(1, seed=5)]
    drawn = stored.dataset[_sample(1, seed=1)]  # a clip's own number is its seed
    assert set(sample) == {*FEATURE_KEYS, "label", "given_mask", "given_frame"}
    others = {key: drawn[key][None] for key in ("given_mask", "given_frame")}
    assert torch.equal(sample["label"], drawn["label"])
    assert all(torch.equal(sample[key], value[0]) for key, value in others.items())
    coarser = {key: sample[key][None] for key in FEATURE_KEYS[1:]}
    found = inferer(sample["image"][None], small_network, **coarser, **others)
    expected = inferer(drawn["image"][None], small_network, **others)
    for x, y in zip(found, expected, strict=True):
        assert (x - y).abs().max() < 0.02 * y.abs().max()  # features are rounded to half precision


def test_each_clip_is_encoded_once_and_shared(make: Any) -> None:
    first, second = make(), make()
    a = first[_sample(0, seed=1)]
    b = second[_sample(0, seed=2)]
    assert (first.dataset.drawn, second.dataset.drawn) == (1, 0)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert sorted(path.name for path in first.folder.iterdir()) == ["000000.safetensors", "clips.json"]


def test_several_clips_of_a_still(make: Any) -> None:
    stored = make(clips_per_still=2)
    a, b, again = (stored[_sample(1, seed)]["image"] for seed in (0, 1, 2))
    assert torch.equal(a, again) and not torch.equal(a, b)
    assert len(list(stored.folder.glob("*.safetensors"))) == 2


def test_other_clips_are_refused(make: Any, small_network: LSINet) -> None:
    make()
    other = copy.deepcopy(small_network)
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1)
    for options, name in (({"network": other}, "encoder"), ({"size": 96}, "clip_size")):
        with pytest.raises(InputError, match=f"another value of {name}: give another folder"):
            make(**options)


def test_a_damaged_file_is_named(make: Any) -> None:
    stored = make()
    stored[_sample(0, 0)]
    (stored.folder / "000000.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"000000\.safetensors' cannot be read as a stored clip"):
        stored[_sample(0, 0)]


def test_frames_that_would_be_padded_are_refused(make: Any) -> None:
    with pytest.raises(InputError, match="multiples of 32"):
        make(size=72)[_sample(0, 0)]
