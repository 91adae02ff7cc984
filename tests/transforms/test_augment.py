from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image, ImageEnhance

from lsinet_monai.transforms import (
    FramesToTensord,
    RandColourd,
    RandFlipClipd,
    RandMaskNoised,
    RandRotateClipd,
    training_transforms,
)

FRAMES = ("image", "adjacent", "memory")
MASKS = ("label", "memory_mask")
SIZE = (40, 60)
CONFIG = Path(__file__).parents[2] / "bundle" / "configs" / "train.json"


def check_aligned(sample):
    for key in FRAMES:
        for channel in range(3):
            np.testing.assert_array_equal(sample[key][..., channel], sample["label"])
    np.testing.assert_array_equal(sample["memory_mask"], sample["label"])


@pytest.mark.parametrize("seed", range(5))
def test_one_spatial_draw_for_all_frames_and_masks(sample, seed):
    flip = RandFlipClipd(FRAMES + MASKS, prob=1)
    rotate = RandRotateClipd(FRAMES + MASKS, prob=1).set_random_state(seed)
    turned = rotate(flip(sample))
    check_aligned(turned)
    assert not (turned["label"] == sample["label"]).all()
    assert (sample["label"][5:20, 8:30] == 255).all()


def test_flip_is_left_to_right(sample):
    flipped = RandFlipClipd(FRAMES + MASKS, prob=1)(sample)
    assert (flipped["label"][5:20, 30:52] == 255).all() and flipped["label"].sum() == sample["label"].sum()


def test_rotation_is_by_whole_degrees_within_15_and_fills_black():
    white = np.full((101, 101), 255, np.uint8)
    white[10:20, 30:90] = 100  # tells a rotation to the left from one to the right
    angles = {
        np.array(Image.fromarray(white).rotate(angle, Image.Resampling.BICUBIC)).tobytes(): angle
        for angle in range(-15, 16)
    }
    rotate = RandRotateClipd(("label",), prob=1).set_random_state(0)
    found = set()
    for _ in range(500):
        turned = rotate({"label": white})["label"]
        angle = angles[turned.tobytes()]
        found.add(angle)
        assert turned[50, 50] == 255 and (turned[0, 0] == 0 or angle == 0)
    assert found == set(range(-15, 16))


# transform, and its default probability
PROBABILITIES = [(RandFlipClipd, 0.5), (RandRotateClipd, 0.2)]


@pytest.mark.parametrize(("kind", "probability"), PROBABILITIES)
def test_how_often_a_spatial_transform_acts(kind, probability):
    transform = kind(("label",)).set_random_state(0)
    label = np.zeros((9, 9), np.uint8)
    label[2:4, 1:4] = 255
    acted = sum(not np.array_equal(transform({"label": label})["label"], label) for _ in range(1000))
    if kind is RandRotateClipd:
        acted *= 31 / 30  # an angle of 0 shows nothing
    # four standard deviations of a share of 1000 draws
    assert abs(acted / 1000 - probability) < 4 * (probability * (1 - probability) / 1000) ** 0.5


# constructor arguments, and the lowest and highest factor of brightness, contrast, saturation and sharpness in tenths
COLOUR_RANGES = [
    ({}, [(5, 15), (5, 15), (0, 20), (0, 30)]),
    ({"brightness": (1, 1), "sharpness": [0.4, 0.6]}, [(10, 10), (5, 15), (0, 20), (4, 6)]),
    ({"contrast": (0, 2), "saturation": (0, 1), "step": 0.5}, [(5, 15), (0, 20), (0, 10), (0, 30)]),
]


@pytest.mark.parametrize(("arguments", "ranges"), COLOUR_RANGES)
def test_colour_factors_have_their_ranges_and_steps(arguments, ranges):
    frame = np.random.default_rng(0).integers(60, 180, (8, 8, 3), dtype=np.uint8)
    names = ("brightness", "contrast", "saturation", "sharpness")

    step = arguments.get("step", 0.1)
    for name, (low, high) in zip(names, ranges, strict=True):
        factors = [tenths / 10 for tenths in range(low, high + 1, round(10 * step))]
        others = {other: (1, 1) for other in names if other != name}  # these stay as they are
        by_factor = {x: RandColourd(("image",), **others, **{name: (x, x)})({"image": frame}) for x in factors}
        expected = {changed["image"].tobytes(): x for x, changed in by_factor.items()}
        assert len(expected) == len(factors)
        given = {name: arguments[name]} if name in arguments else {}
        colour = RandColourd(("image",), **others, **given, step=step).set_random_state(0)
        found = {expected[colour({"image": frame})["image"].tobytes()] for _ in range(400)}
        assert found == set(factors), name


def test_colour_is_drawn_per_frame(sample):
    changed = RandColourd(FRAMES).set_random_state(0)({**sample, **dict.fromkeys(FRAMES, sample["image"] // 2 + 40)})
    assert len({changed[key].tobytes() for key in FRAMES}) == 3
    assert all(changed[key].dtype == np.uint8 and changed[key].shape == (*SIZE, 3) for key in FRAMES)
    assert changed["label"] is sample["label"]


def test_brightness_scales_and_saturation_0_is_grey():
    colour = RandColourd(("image",), (0.5, 0.5), (1, 1), (0, 0), (1, 1))
    frame = np.full((4, 4, 3), (200, 100, 60), np.uint8)
    # half of it, then its luma by ITU-R 601
    grey = 0.299 * 100 + 0.587 * 50 + 0.114 * 30
    assert np.abs(colour({"image": frame})["image"] - grey).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (3, 3), (128, 6), (130, 70), (257, 31)])
@pytest.mark.parametrize("factors", [(0.5, 1.4, 1.8, 0.0), (1.0, 1.0, 1.0, 0.7), (1.5, 0.6, 0.2, 1.0), (1, 1, 1, 3)])
def test_colours_are_those_of_pillows_enhancers(size, factors):
    colour = RandColourd(("image",), *((factor, factor) for factor in factors))
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image = Image.fromarray(frame)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, ImageEnhance.Sharpness)
    for enhancer, factor in zip(enhancers, factors, strict=True):
        image = enhancer(image).enhance(factor)
    np.testing.assert_array_equal(colour({"image": frame})["image"], np.asarray(image))


def test_mask_noise_sets_few_pixels_of_each_mask():
    grey = np.full((200, 300), 100, np.uint8)
    noised = RandMaskNoised(MASKS).set_random_state(0)(dict.fromkeys(MASKS, grey))
    for key in MASKS:
        changed = noised[key][noised[key] != 100]
        # 90 draws of 60000 pixels: one may be hit twice
        assert 85 <= len(changed) <= 90
        assert set(changed) == {0, 255}
    assert (noised["label"] != noised["memory_mask"]).any()
    assert (grey == 100).all()
    assert (RandMaskNoised(MASKS, fraction=0)(dict.fromkeys(MASKS, grey))["label"] == 100).all()


def test_to_tensor_normalises_frames_and_keeps_soft_mask_edges(sample):
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :30] = 255
    tensors = FramesToTensord(FRAMES, MASKS, (8, 9))({**sample, "label": mask})
    assert tensors["image"].shape == (3, 8, 9) and tensors["label"].shape == (1, 8, 9)
    assert {tensors[key].dtype for key in FRAMES + MASKS} == {torch.float32}
    # the edge of the mask halves the fifth of nine columns
    torch.testing.assert_close(tensors["label"][0, 0, [0, 4, 8]], torch.tensor([1, 0.5, 0]), atol=1 / 255, rtol=0)
    assert tensors["image"][0, -1, -1] == pytest.approx(-0.485 / 0.229)


def test_same_seed_same_sample(paths):
    transform = training_transforms(32)
    first, second, other = (transform.set_random_state(seed=seed)(paths) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in FRAMES + MASKS)
    assert not torch.equal(first["image"], other["image"])


def test_every_frames_mask_is_in_the_label(paths):
    paths = {**paths, "adjacent_label": paths["label"]}
    of_one, of_every = (training_transforms(SIZE, augment=False, every_frame=flag)(paths) for flag in (False, True))
    assert set(of_every) == set(of_one) and of_every["label"].shape == (3, *SIZE)
    torch.testing.assert_close(of_every["label"][[0, 2]], torch.cat([of_one[key] for key in MASKS]))
    assert of_every["label"][1].any()
    for seed in range(20):  # flipped and rotated together, each with other noise
        augmented = training_transforms(SIZE, every_frame=True).set_random_state(seed=seed)(paths)
        torch.testing.assert_close(augmented["label"][2:], augmented["memory_mask"])
        assert (augmented["label"] - augmented["label"][[1, 2, 0]]).abs().mean() < 0.01


@pytest.mark.parametrize("augment", [True, False])
def test_training_transforms_give_tensors_in_range(paths, augment):
    transform = training_transforms((32, 48), augment)
    for seed in range(10):
        item = transform.set_random_state(seed=seed)(paths)
        assert set(item) == set(FRAMES + MASKS)
        for key in FRAMES:
            assert item[key].shape == (3, 32, 48)
            assert item[key].min() >= -0.485 / 0.229 - 1e-3 and item[key].max() <= (1 - 0.406) / 0.225 + 1e-3
        for key in MASKS:
            assert item[key].shape == (1, 32, 48) and item[key].min() >= 0 and item[key].max() <= 1


@pytest.mark.parametrize("options", [{}, {"augment": False}, {"every_frame": True}])
def test_the_bundle_has_the_same_transforms(paths, options):
    paths = {**paths, "adjacent_label": paths["label"]}
    parser = ConfigParser(ConfigParser.load_config_file(CONFIG))
    parser.update({"image_size": 64, "train_clips": [], **options})
    ours, bundles = (
        transform.set_random_state(seed=3)(paths)
        for transform in (training_transforms(64, **options), parser.get_parsed_content("train#dataset").transform)
    )
    assert ours.keys() == bundles.keys()
    assert all(torch.equal(ours[key], bundles[key]) for key in ours)
