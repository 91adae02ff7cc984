from __future__ import annotations

import pickle

import numpy as np
import pytest

from lsinet_monai.masks import LesionLinker

# Frames one pixel high: every character is a pixel, every letter or digit a pixel of the mask, and the lesion's id.
CLIPS = [
    ("nothing", ["......", "......"]),
    ("one that moves", ["11....", ".11...", "..11.."]),
    ("two", ["11..22", ".11.22"]),
    ("no overlap, no link", ["11....", "...22."]),
    ("a gap of three is bridged", ["11....", "......", "......", "......", "11...."]),
    ("a gap of four is not", ["11....", "......", "......", "......", "......", "22...."]),
    ("a split: the better fit keeps the id", ["111111", "111.22", "111.22"]),
    ("a merge: the better fit gives its id", ["111.22", "111111", "111111"]),
    ("separated again, both get their ids back", ["111.22", "111111", "111111", "111111", "111.22"]),
    ("separated too late, only one does", ["111.22", *["111111"] * 4, "111.33"]),
    ("the better fit, not the first", ["11.222", ".22222"]),
    ("an id is used once in a frame", ["111111", "2.11.3"]),
    ("ids are never reused", ["11....", *["......"] * 5, "22....", *["......"] * 5, "33...."]),
]


def _labels(row: str) -> np.ndarray:
    return np.array([[0 if pixel == "." else int(pixel) for pixel in row]])


@pytest.mark.parametrize(("_", "rows"), CLIPS, ids=[case[0] for case in CLIPS])
def test_ids(_: str, rows: list[str]) -> None:
    linker = LesionLinker()
    for row in rows:
        labels = linker(_labels(row) > 0)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, _labels(row))


def test_pixels_that_touch_at_a_corner_are_one_lesion() -> None:
    np.testing.assert_array_equal(LesionLinker()(np.eye(4, dtype=bool)), np.eye(4))


def test_the_nearest_frame_decides_between_equal_fits() -> None:
    linker = LesionLinker()
    for row in ["11...", ".....", "..22."]:
        linker(_labels(row) > 0)
    np.testing.assert_array_equal(linker(_labels(".11..") > 0), _labels(".22.."))


def test_frames_of_another_size_get_new_ids() -> None:
    linker = LesionLinker()
    linker(np.ones((4, 4), bool))
    np.testing.assert_array_equal(linker(np.ones((4, 6), bool)), np.full((4, 6), 2))


def test_state_survives_a_pickle_and_changes_to_the_returned_labels() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((12, 24, 24)) > 0.8
    linker, interrupted = LesionLinker(), LesionLinker()
    for mask in masks:
        expected = linker(mask)
        labels = interrupted(mask)
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(labels > 0, mask)
        labels[:] = 0
        interrupted = pickle.loads(pickle.dumps(interrupted))


def test_continues_from_labelled_lesions() -> None:
    linker = LesionLinker()
    named = np.zeros((8, 8), np.uint8)
    named[:3, :3], named[5:, 5:] = 7, 4
    linker.follow(named)
    mask = named > 0
    mask[0, 7] = True
    labels = linker(mask)
    assert (labels[:3, :3] == 7).all() and (labels[5:, 5:] == 4).all() and labels[0, 7] == 8
