"""Lesions of files without ids are those of the frames around them, or new ones, and never another lesion."""

from __future__ import annotations

import numpy as np
import pytest
from lib.imported_ids import ImportedIds

from lsinet_monai.errors import InputError

SIZE = (64, 80)

pytestmark = pytest.mark.usefixtures("two_lesions")


def squares(**lesions):
    """Labels with a square at a left edge per lesion: ``_7=40``."""
    labels = np.zeros(SIZE, np.int32)
    for lesion, left in lesions.items():
        labels[50:60, left : left + 10] = int(lesion[1:])
    return labels


def ids_at(labels, *lefts):
    return [int(labels[55, left + 5]) for left in lefts]


def test_new_lesions_keep_their_ids_over_frames(video):
    ids = ImportedIds(video, set(), range(12).__contains__)
    assert ids_at(ids(7, squares(_1=40)), 40) == [6]
    assert ids_at(ids(8, squares(_1=5, _2=42)), 5, 42) == [7, 6]
    assert ids_at(ids(9, squares(_1=44, _2=6)), 6, 44) == [7, 6]


def test_frames_before_that_are_not_in_the_file_count_too(video):
    video.save_correction(7, squares(_9=40).astype(np.uint8), "ann")
    assert ids_at(ImportedIds(video, set(), {8}.__contains__)(8, squares(_1=42)), 42) == [9]


def test_frames_long_before_do_not_count(video):
    ids = ImportedIds(video, set(), {2, 9}.__contains__)
    first = ids_at(ids(2, squares(_1=40)), 40)
    assert ids_at(ids(9, squares(_1=42)), 42) != first


def test_a_shape_without_an_id_takes_no_track(video):
    video.save_correction(8, squares(_9=40).astype(np.uint8), "ann")
    ids = ImportedIds(video, {9}, range(12).__contains__)
    assert ids_at(ids(8, squares(_9=5, _10=40)), 5, 40) == [9, 10]
    assert ids_at(ids(9, squares(_10=5, _9=40)), 5, 40) == [11, 9]


def test_lesion_255_takes_nothing_in(video):
    video.save_correction(8, squares(_255=40).astype(np.uint8), "ann")
    ids = ImportedIds(video, set(), range(12).__contains__)
    assert ids_at(ids(8, squares(_1=40, _2=5)), 40, 5) == [255, 1]


def test_no_free_id_is_refused(video):
    used = np.zeros(SIZE, np.uint8)
    used.flat[:255] = range(1, 256)
    video.save_correction(8, used, "ann")
    with pytest.raises(InputError, match="frame 9 shows a new lesion, and all 255 lesion ids are used; import COCO"):
        ImportedIds(video, set(), range(12).__contains__)(9, squares(_1=40))


def test_more_lesions_than_ids_are_refused(video):
    with pytest.raises(InputError, match="ids up to 255, and this file needs 256, up to 256"):
        ImportedIds(video, set(range(1, 257)), range(12).__contains__)
