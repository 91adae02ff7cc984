"""What a propagation changed: noted, kept by a person, or undone."""

from __future__ import annotations

import pytest
from lib.errors import Conflict, NotFound

VIDEO = "p1_a.frames"


@pytest.fixture
def spread(video, drawn, find_polyps):
    """Frame 5 is corrected, and its correction has spread to the frames 4 and 6, of which 6 was propagated before."""
    find_polyps(video)
    video.write_prediction("propagated", 6, drawn(2), scores=0.8, uncertainty=0.2)
    before = {frame: video.propagations.replaceable(frame) for frame in range(3, 8)}
    video.save_correction(5, drawn(3), "ann")
    for frame in (4, 6):
        video.write_prediction("propagated", frame, drawn(3), scores=0.7, uncertainty=0.3)
    video.propagations.note(5, before)
    return video


def test_a_propagation_waits_for_an_answer(spread, open_store):
    for video in (spread, open_store()[VIDEO]):
        assert video.propagations.last_open() == {"act": 1, "frame": 5, "frames": [4, 6]}


def test_it_is_compared_with_what_was_there(spread, drawn):
    for frame, value in ((4, 1), (6, 2), (8, 1)):
        assert (spread.propagations.before(1, frame) == drawn(value)).all()
    with pytest.raises(NotFound):
        spread.propagations.before(7, 4)


def test_it_is_kept(spread, open_store, drawn):
    saves = spread.saves
    assert spread.propagations.keep(1, "bob") == [4, 6]
    assert spread.saves == saves + 1  # other pages look again
    assert spread.propagations.keep(1, "eve") == [4, 6]
    for video in (spread, open_store()[VIDEO]):
        assert video.propagations.last_open() is None and (video.mask(6).labels == drawn(3)).all()
        kept = [entry for entry in video.history.entries() if entry["action"] == "keep"]
        assert [(entry["user"], entry["frames"], entry["frame"]) for entry in kept] == [("bob", 2, 5)]
    spread.stretches.undo(1, "bob")
    assert (spread.mask(6).labels == drawn(2)).all()


def test_an_undone_one_waits_for_nothing(spread, drawn):
    spread.stretches.undo(1, "bob")
    assert spread.propagations.last_open() is None
    for frame, value in ((4, 1), (5, 3), (6, 2)):
        assert (spread.mask(frame).labels == drawn(value)).all()


def test_the_next_propagation_is_an_answer_too(spread, drawn):
    spread.save_correction(9, drawn(4), "ann")
    before = {10: spread.propagations.replaceable(10)}
    spread.write_prediction("propagated", 10, drawn(4), scores=0.7, uncertainty=0.3)
    spread.propagations.note(9, before)
    assert spread.propagations.last_open() == {"act": 2, "frame": 9, "frames": [10]}
    spread.stretches.undo(2, "ann")
    assert spread.propagations.last_open() is None


def test_one_that_changes_nothing_is_not_noted(spread):
    acts = spread.info.get("acts")
    spread.propagations.note(5, {frame: spread.propagations.replaceable(frame) for frame in range(12)})
    assert spread.info.get("acts") == acts and spread.propagations.last_open()["act"] == 1


def spread_again(video, drawn):
    before = {frame: video.propagations.replaceable(frame) for frame in (4, 7)}
    for frame in before:
        video.write_prediction("propagated", frame, drawn(4), scores=0.7, uncertainty=0.3)
    video.propagations.note(5, before)


def test_the_same_one_again_is_undone_with_the_first(spread, drawn):
    spread_again(spread, drawn)
    assert spread.propagations.last_open() == {"act": 1, "frame": 5, "frames": [4, 6, 7]}
    spread.stretches.undo(1, "bob")
    for frame, value in ((4, 1), (5, 3), (6, 2), (7, 1)):
        assert (spread.mask(frame).labels == drawn(value)).all()


@pytest.mark.parametrize(
    "answer",
    [lambda video, mask: video.propagations.keep(1, "bob"), lambda video, mask: video.save_correction(5, mask, "ann")],
)
def test_one_of_a_new_mask_or_after_an_answer_is_undone_alone(spread, drawn, answer):
    answer(spread, drawn(4))
    spread_again(spread, drawn)
    assert spread.propagations.last_open() == {"act": 2, "frame": 5, "frames": [4, 7]}
    spread.stretches.undo(2, "bob")
    assert (spread.mask(4).labels == drawn(3)).all()


def test_one_whose_correction_is_taken_back_waits_for_nothing(spread, drawn):
    saves = spread.saves
    spread.take_back(5, "ann")
    assert spread.propagations.last_open() is None
    spread.propagations.follow(5, [4, 6])  # as the job does that follows
    spread.save_correction(5, drawn(9), "ann")  # another mask, which nobody has propagated
    assert spread.propagations.last_open() is None and spread.saves > saves


def test_one_is_undone_after_its_frames_followed_another_change(spread, drawn):
    spread.write_prediction("propagated", 4, drawn(6), scores=0.7, uncertainty=0.3)
    with pytest.raises(Conflict, match="has changed since"):
        spread.stretches.undo(1, "bob")
    spread.propagations.follow(8, [4, 9])
    spread.stretches.undo(1, "bob")
    assert (spread.mask(4).labels == drawn(1)).all()


def test_what_cannot_be_kept(spread):
    act = spread.stretches.check(1, 2, "bob").id
    with pytest.raises(Conflict, match="is no propagation"):
        spread.propagations.keep(act, "bob")
    with pytest.raises(NotFound, match="cannot be undone any more"):
        spread.propagations.keep(40, "bob")
    spread.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        spread.propagations.keep(1, "bob")
