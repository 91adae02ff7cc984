from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from lsinet_monai.data import phantom_clip, read_frame, read_mask
from lsinet_monai.data.field_of_view import FieldOfView, find_field_of_view
from lsinet_monai.errors import InputError

HEIGHT, WIDTH = 180, 260
Y, X = np.mgrid[:HEIGHT, :WIDTH] + 0.5


def _octagon() -> np.ndarray:
    side, top = np.abs(X - 150), np.abs(Y - 90)
    return (side < 100) & (top < 85) & (side + top < 150)


FIELDS = [
    ("whole", np.ones((HEIGHT, WIDTH), bool)),
    ("rectangle", (X > 70) & (X < 250) & (Y > 12) & (Y < 170)),
    ("at the frame's edge", X > 70),
    ("disc", np.hypot(X - 160, Y - 90) < 80),
    ("octagon", _octagon()),
]


def _video(field: np.ndarray, frames: int = 12, noise: float = 3, border: float = 10) -> Iterator[np.ndarray]:
    """A lit tunnel whose dark end moves, noise, and text on the left border, if there is one."""
    rng = np.random.default_rng(0)
    text = Image.new("L", (WIDTH, HEIGHT))
    if not field[:, :60].any():
        font = ImageFont.load_default(12)
        ImageDraw.Draw(text).multiline_text((4, 20), "NAME\n47 M\n12:30:59\nID 0815", 255, font)
        ImageDraw.Draw(text).rectangle((10, 130, 40, 160), 200)
    for index in range(frames):
        centre = 60 + 20 * index % 200, 90
        light = np.clip(np.hypot(X - centre[0], Y - centre[1]) * 2, 0, 200)
        picture = np.where(field, light + 5, border)[..., None] * (1, 0.6, 0.5)
        picture = np.maximum(picture, np.asarray(text)[..., None]) + rng.normal(0, noise, (HEIGHT, WIDTH, 1))
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def _check(found: FieldOfView, field: np.ndarray) -> None:
    assert _iou(found.mask, field) > 0.97
    rows, columns = np.nonzero(field)
    expected = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    np.testing.assert_allclose(found.box, expected, atol=2)


@pytest.mark.parametrize("frames", [1, 12])
@pytest.mark.parametrize(("_", "field"), FIELDS, ids=[case[0] for case in FIELDS])
def test_fields(_: str, field: np.ndarray, frames: int) -> None:
    _check(find_field_of_view(_video(field, frames)), field)


BLACK, WHITE = (np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (0, 255))


@pytest.mark.parametrize("before", [[BLACK], [BLACK] * 30, [WHITE] * 2], ids=["dark", "long dark", "white"])
def test_frames_of_something_else(before: list[np.ndarray]) -> None:
    field = FIELDS[-1][1]
    _check(find_field_of_view([*before, *_video(field)]), field)


def test_a_noisy_border() -> None:
    field = FIELDS[3][1]
    _check(find_field_of_view(_video(field, noise=8, border=20)), field)


@pytest.mark.parametrize("frame", [BLACK, WHITE, np.full((1, 1, 3), 9, np.uint8)])
def test_without_a_picture_it_is_the_whole_frame(frame: np.ndarray) -> None:
    found = find_field_of_view([frame] * 3)
    assert found.box == (0, 0, *frame.shape[:2]) and found.mask.all()


def test_large_frames() -> None:
    field = FIELDS[-1][1].repeat(6, 0).repeat(6, 1)
    found = find_field_of_view(frame.repeat(6, 0).repeat(6, 1) for frame in _video(FIELDS[-1][1], 3))
    assert found.mask.shape == field.shape and _iou(found.mask, field) > 0.97


def test_phantom_s_polyps_are_inside() -> None:
    frames, masks = zip(*phantom_clip(10, (120, 160), seed=1), strict=True)
    found = find_field_of_view(frames)
    outside = ~found.mask
    assert 0.05 < outside.mean() < 0.4
    assert all(not (mask[outside] > 0).any() for mask in masks)
    assert np.mean([frame[outside].max(axis=1).mean() for frame in frames]) < 30


@pytest.mark.slow
def test_real_frames(real_data: Path) -> None:
    for case in sorted((real_data / "TestEasyDataset/Unseen/Frame").iterdir()):
        paths = sorted(case.iterdir())
        found = find_field_of_view(read_frame(path) for path in paths)
        assert 0.6 < found.mask.mean() < 0.8  # an octagon with a black border
        for path in paths:
            mask = read_mask(case.parents[1] / "GT" / case.name / f"{path.stem}.png")
            assert (mask & found.mask).sum() > 0.98 * mask.sum()


def test_crop_and_restore() -> None:
    found = find_field_of_view(_video(FIELDS[3][1]))
    probability = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    restored = found.restore(torch.from_numpy(found.crop(probability)))
    assert restored.dtype == torch.float32
    np.testing.assert_array_equal(restored, np.where(found.mask, probability, 0))
    for _ in range(2):  # The second time the mask is there.
        assert torch.equal(found.blacken(torch.from_numpy(probability)), restored)
    top, left, bottom, right = found.box
    assert found.crop(WHITE).shape == (bottom - top, right - left, 3)


def test_refuses() -> None:
    with pytest.raises(InputError, match="no frames"):
        find_field_of_view([])
    with pytest.raises(InputError, match="in common"):
        find_field_of_view([BLACK, BLACK[1:]])
    found = find_field_of_view([WHITE])
    too_small = WHITE[1:, :, 0]
    as_tensor = torch.from_numpy(too_small)
    for wrong in (partial(found.crop, too_small), partial(found.restore, as_tensor), partial(found.blacken, as_tensor)):
        with pytest.raises(InputError, match=r"an image of \(\d+, \d+\) pixels does not fit"):
            wrong()
