from __future__ import annotations

import numpy as np
import pytest
from lib.errors import Conflict

from lsinet_monai.errors import InputError

VIDEO = "p1_a.frames"


@pytest.fixture
def two(drawn):
    """Makes a mask of two lesions."""

    def draw(first: int, second: int) -> np.ndarray:
        labels = drawn(first)
        labels[40:50, 50:60] = second
        return labels

    return draw


def test_lesions_are_named_and_merged(video, two):
    video.save_correction(3, two(1, 4), "ann")
    video.lesions.rename([{"id": 4, "name": "sigmoid", "colour": "#123456"}])
    assert video.lesions.entries()[0]["name"] == "Polyp 1"
    assert video.lesions.entries()[1] == {"id": 4, "name": "sigmoid", "colour": "#123456"}
    video.lesions.merge(1, 4, "ann")
    assert [lesion["id"] for lesion in video.lesions.entries()] == [1]
    assert set(np.unique(video.mask(3).labels)) == {0, 1}
    last = video.history.entries()[-1]
    assert (last["action"], last["into"], last["from"]) == ("merge", 1, 4)


@pytest.mark.parametrize(("into", "other"), [(1, 9), (9, 1), (1, 1)])
def test_only_two_lesions_of_the_video_are_merged(video, two, into, other):
    video.save_correction(3, two(1, 4), "ann")
    with pytest.raises(InputError, match=r"cannot be merged: choose two lesions of 'p1_a\.frames'"):
        video.lesions.merge(into, other, "ann")


def test_lesions_of_a_final_video_are_not_merged(video, two):
    video.save_correction(3, two(1, 4), "ann")
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        video.lesions.merge(1, 4, "ann")


def test_lesions_of_few_frames_are_short_until_a_person_names_them(video, drawn):
    for frame in range(5):
        labels = drawn(1)
        labels[40:50, 50:60] = 2 * (frame < 4)
        video.write_prediction("predicted", frame, labels, scores=0.5)
    assert video.lesions.short() == [2]
    video.lesions.rename([{"id": 2, "name": "sigmoid", "colour": "#123456"}])
    assert video.lesions.short() == []


def test_each_id_is_used_once(open_store, two):
    video = open_store()[VIDEO]
    video.save_correction(3, two(1, 2), "ann")
    lesions = video.lesions
    assert (lesions.free_id(), lesions.next_id(), lesions.last_named_id()) == (3, 3, 0)
    lesions.merge(1, 2, "ann")  # masks of frames that are predicted later may have 2, and mean 1
    lesions.rename([{"id": 5, "name": "not drawn yet", "colour": "#123456"}])
    lesions = open_store()[VIDEO].lesions
    assert (lesions.free_id(), lesions.next_id(), lesions.last_named_id()) == (3, 6, 5)
    lesions.rename([{"id": id, "name": "a", "colour": "#123456"} for id in range(1, 256)])
    assert lesions.free_id() is None
