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


PALETTE = ["#00d5ff", "#ffe033", "#2ee66b", "#ff9d2e", "#8c9bff", "#f0623c", "#ff9ad5"]


def colours(video):
    return {entry["id"]: entry["colour"] for entry in video.lesions.entries()}


def test_two_lesions_have_two_colours(video, two, drawn):
    video.save_correction(3, two(1, 8), "ann")  # ids that have the same colour by themselves
    assert colours(video) == {1: PALETTE[0], 8: PALETTE[1]}
    video.save_correction(4, two(2, 3), "ann")
    assert colours(video) == {1: PALETTE[0], 2: PALETTE[1], 3: PALETTE[2], 8: PALETTE[3]}
    video.lesions.rename([{"id": 3, "name": "mine", "colour": PALETTE[1]}])  # a person may choose any
    assert colours(video) == {1: PALETTE[0], 2: PALETTE[2], 3: PALETTE[1], 8: PALETTE[3]}
    for frame in range(5, 10):
        video.save_correction(frame, drawn(frame + 10), "ann")
    assert set(colours(video).values()) == set(PALETTE)


def test_a_new_lesion_has_a_free_colour(video, two):
    video.save_correction(3, two(1, 2), "ann")
    video.lesions.merge(1, 2, "ann")
    new = video.lesions.name_new()
    assert (new, colours(video)) == (3, {1: PALETTE[0], 3: PALETTE[2]})
    # As the page makes one: with all others, and a colour by its id.
    given = [*video.lesions.entries(), {"id": 8, "name": "Polyp 8", "colour": PALETTE[0]}]
    video.lesions.rename(given)
    assert colours(video) == {1: PALETTE[0], 3: PALETTE[2], 8: PALETTE[1]}
    video.lesions.rename([{"id": 8, "name": "Polyp 8", "colour": PALETTE[0]}])  # no longer new: the person's choice
    assert colours(video)[8] == PALETTE[0]


def test_lesions_in_no_frame_are_listed_if_a_person_wants_them(video, two, open_store):
    video.save_correction(3, two(1, 2), "ann")
    new = video.lesions.free_id()
    page = [*video.lesions.entries(), {"id": new, "name": f"Polyp {new}", "colour": "#123456"}]
    video.lesions.rename(page)  # as the page does for a new one: all get a stored name
    video.save_correction(3, np.zeros_like(two(1, 2)), "ann")
    assert [list(colours(other)) for other in (video, open_store()[VIDEO])] == [[new], [new]]
    video.lesions.rename([{"id": 2, "name": "sigmoid", "colour": "#654321"}])
    assert list(colours(video)) == [2, new]
    video.begin_annotation()
    video.end_annotation("model")
    assert list(colours(video)) == [2] and video.lesions.free_id() == new + 1
    video.save_correction(3, two(1, new), "ann")
    assert list(colours(video)) == [1, 2, new]


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


def test_a_lesion_that_no_mask_shows_is_listed_no_longer(video, two, open_store):
    video.save_correction(3, two(1, 4), "ann")
    video.lesions.rename([{"id": 4, "name": "sigmoid", "colour": "#123456"}])
    with pytest.raises(InputError, match="frame 3 shows lesion 4"):
        video.lesions.unlist(4, "ann")
    video.stretches.remove(3, 3, "ann", 4)
    video.lesions.unlist(4, "ann")
    for known in (video, open_store()[VIDEO]):
        assert [lesion["id"] for lesion in known.lesions.entries()] == [1] and known.lesions.free_id() != 4
    with pytest.raises(InputError, match="lists no lesion 4"):
        video.lesions.unlist(4, "ann")
    last = video.history.entries()[-1]
    assert (last["action"], last["lesion"]) == ("unlist", 4)
    video.save_correction(3, two(1, 4), "ann")
    assert video.lesions.entries()[1]["name"] == "sigmoid"  # a mask shows it again
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        video.lesions.unlist(4, "ann")


def test_an_unlisted_lesion_is_listed_again_by_its_name(video):
    video.lesions.rename([{"id": 2, "name": "sigmoid", "colour": "#123456"}])
    video.lesions.unlist(2, "ann")
    assert video.lesions.entries() == []
    video.lesions.rename([{"id": 2, "name": "flat", "colour": "#123456"}])
    assert [lesion["name"] for lesion in video.lesions.entries()] == ["flat"]
