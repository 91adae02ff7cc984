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
        assert video.propagations.unanswered() == [{"act": 1, "frame": 5, "frames": [4, 6]}]


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
        assert video.propagations.unanswered() == [] and (video.mask(6).labels == drawn(3)).all()
        kept = [entry for entry in video.history.entries() if entry["action"] == "keep"]
        assert [(entry["user"], entry["frames"], entry["frame"]) for entry in kept] == [("bob", 2, 5)]
    spread.stretches.undo(1, "bob")
    assert (spread.mask(6).labels == drawn(2)).all()


def test_an_undone_one_waits_for_nothing(spread, drawn):
    spread.stretches.undo(1, "bob")
    assert spread.propagations.unanswered() == []
    for frame, value in ((4, 1), (5, 3), (6, 2)):
        assert (spread.mask(frame).labels == drawn(value)).all()


@pytest.fixture
def two_spreads(spread, drawn):
    """Frame 8 is corrected, too; its correction has spread to the frames 6 and 7, of which 6 came from frame 5."""
    before = {frame: spread.propagations.replaceable(frame) for frame in (6, 7)}
    spread.save_correction(8, drawn(4), "ann")
    for frame in before:
        spread.write_prediction("propagated", frame, drawn(4), scores=0.9, uncertainty=0.1)
    spread.propagations.note(8, before)
    return spread


FIRST, SECOND = {"act": 1, "frame": 5, "frames": [4, 6]}, {"act": 2, "frame": 8, "frames": [6, 7]}


def shown(video):
    """What the frames 4, 6 and 7 show."""
    return [int(video.mask(frame).labels.max()) for frame in (4, 6, 7)]


def test_each_propagation_waits_for_its_own_answer(two_spreads, open_store):
    for video in (two_spreads, open_store()[VIDEO]):
        assert video.propagations.unanswered() == [SECOND, FIRST]
    two_spreads.propagations.keep(2, "bob")
    assert two_spreads.propagations.unanswered() == [FIRST | {"frames": [4]}]  # in frame 6 the later one was kept
    two_spreads.stretches.check(4, 4, "ann")
    assert two_spreads.propagations.unanswered() == []  # nor is there a question about what people checked
    two_spreads.stretches.clear(4, 4, "ann")
    two_spreads.propagations.keep(1, "bob")
    assert two_spreads.propagations.unanswered() == []


def test_undoing_the_later_one_brings_back_what_the_earlier_one_put_there(two_spreads):
    two_spreads.stretches.undo(2, "bob")
    assert shown(two_spreads) == [3, 3, 1] and two_spreads.values.propagated(6)["scores"] == 0.7
    assert two_spreads.propagations.unanswered() == [FIRST]
    two_spreads.stretches.undo(1, "bob")
    assert shown(two_spreads) == [1, 2, 1] and two_spreads.values.propagated(6)["scores"] == 0.8


@pytest.mark.parametrize("is_kept", [False, True])
def test_undoing_the_earlier_one_leaves_the_later_ones_masks(two_spreads, open_store, is_kept):
    if is_kept:
        two_spreads.propagations.keep(2, "bob")
    assert two_spreads.stretches.undo(1, "bob").frames == [4]
    for video in (two_spreads, open_store()[VIDEO]):
        assert shown(video) == [1, 4, 4]
        assert video.propagations.unanswered() == ([] if is_kept else [SECOND])
    two_spreads.stretches.undo(2, "bob")  # what was undone before does not come back
    assert shown(two_spreads) == [1, 2, 1] and two_spreads.values.propagated(6)["scores"] == 0.8


def test_an_undo_that_was_interrupted_leaves_the_later_ones_masks_too(two_spreads, open_store, monkeypatch):
    def killed(entry, folder):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(two_spreads.stretches, "_restore", killed)
        with pytest.raises(SystemExit):
            two_spreads.stretches.undo(1, "bob")
    video = open_store()[VIDEO]
    assert video.stretches.undo(1, "bob").frames == [4]
    assert shown(video) == [1, 4, 4]
    video.stretches.undo(2, "bob")
    assert shown(video) == [1, 2, 1] and video.values.propagated(6)["scores"] == 0.8


def test_undoing_the_earlier_one_leaves_no_mask_where_there_was_none(spread, drawn):
    spread_again(spread, drawn, frame=8)
    spread.stretches.undo(1, "bob")
    spread.stretches.undo(2, "bob")
    assert shown(spread) == [1, 2, 1] and spread.propagated_frames() == [6]


def test_what_cannot_be_undone_changes_no_other_propagation(two_spreads, drawn):
    two_spreads.write_prediction("propagated", 4, drawn(6), scores=0.7, uncertainty=0.3)
    with pytest.raises(Conflict, match="has changed since"):
        two_spreads.stretches.undo(1, "bob")
    two_spreads.stretches.undo(2, "bob")
    assert shown(two_spreads) == [6, 3, 1]


def test_the_later_ones_correction_is_taken_back_and_is_back(two_spreads, drawn):
    act = two_spreads.stretches.clear(8, 8, "ann").id
    for frame in (6, 7):  # as the job does that follows
        two_spreads.write_prediction("propagated", frame, drawn(5), scores=0.7, uncertainty=0.3)
    two_spreads.propagations.follow(8, [6, 7])
    assert two_spreads.propagations.unanswered() == [FIRST]
    two_spreads.stretches.undo(act, "ann")
    assert two_spreads.propagations.unanswered() == [SECOND, FIRST]
    two_spreads.stretches.undo(1, "bob")
    assert two_spreads.propagations.unanswered() == [SECOND]


def test_the_earlier_one_is_undone_after_the_later_ones_correction_was_taken_back(two_spreads, drawn):
    two_spreads.stretches.clear(8, 8, "ann")
    two_spreads.write_prediction("propagated", 6, drawn(5), scores=0.7, uncertainty=0.3)
    two_spreads.remove_propagated([7])
    two_spreads.propagations.follow(8, [6, 7])
    two_spreads.stretches.undo(1, "bob")
    assert shown(two_spreads) == [1, 2, 1]


def test_one_that_waits_for_an_answer_is_never_forgotten(spread):
    for _ in range(60):
        spread.stretches.check(1, 1, "ann")
        spread.stretches.clear(1, 1, "ann")
    assert spread.propagations.unanswered() == [FIRST]
    spread.propagations.keep(1, "bob")
    spread.stretches.check(1, 1, "ann")
    with pytest.raises(NotFound, match="cannot be undone any more"):
        spread.propagations.keep(1, "bob")


def test_one_over_another_that_waits_is_not_forgotten_either(two_spreads):
    two_spreads.propagations.keep(2, "bob")
    for _ in range(30):
        two_spreads.stretches.check(1, 1, "ann")
        two_spreads.stretches.clear(1, 1, "ann")
    two_spreads.stretches.undo(1, "bob")
    assert shown(two_spreads) == [1, 4, 4]


def test_one_that_changes_nothing_is_not_noted(spread):
    acts = spread.info.get("acts")
    spread.propagations.note(5, {frame: spread.propagations.replaceable(frame) for frame in range(12)})
    assert spread.info.get("acts") == acts and spread.propagations.unanswered()[0]["act"] == 1


def spread_again(video, drawn, frame=5):
    before = {other: video.propagations.replaceable(other) for other in (4, 7)}
    if frame not in video.corrections:
        video.save_correction(frame, drawn(4), "ann")
    for other in before:
        video.write_prediction("propagated", other, drawn(4), scores=0.7, uncertainty=0.3)
    video.propagations.note(frame, before)


def test_the_same_one_again_is_undone_with_the_first(spread, drawn):
    spread_again(spread, drawn)
    assert spread.propagations.unanswered() == [{"act": 1, "frame": 5, "frames": [4, 6, 7]}]
    spread.stretches.undo(1, "bob")
    for frame, value in ((4, 1), (5, 3), (6, 2), (7, 1)):
        assert (spread.mask(frame).labels == drawn(value)).all()


@pytest.mark.parametrize(
    ("answer", "waiting"),
    [
        (lambda video, mask: video.propagations.keep(1, "bob"), []),
        (lambda video, mask: video.save_correction(5, mask, "ann"), [FIRST]),
    ],
)
def test_one_of_a_new_mask_or_after_an_answer_is_undone_alone(spread, drawn, answer, waiting):
    answer(spread, drawn(4))
    spread_again(spread, drawn)
    assert spread.propagations.unanswered() == [{"act": 2, "frame": 5, "frames": [4, 7]}, *waiting]
    spread.stretches.undo(2, "bob")
    assert (spread.mask(4).labels == drawn(3)).all() and spread.propagations.unanswered() == waiting


def test_keeping_one_of_a_new_mask_keeps_what_it_went_over(two_spreads, drawn):
    two_spreads.save_correction(5, drawn(4), "ann")
    spread_again(two_spreads, drawn)
    two_spreads.propagations.keep(3, "bob")
    assert two_spreads.propagations.unanswered() == [SECOND, FIRST | {"frames": [6]}]


def test_a_new_correction_of_its_frame_does_not_ask_about_it_again(spread, drawn):
    spread.take_back(5, "ann")
    spread.save_correction(5, drawn(9), "ann")  # before the job that follows the first step has run
    assert spread.propagations.unanswered() == []


def test_one_whose_correction_is_taken_back_waits_for_nothing(spread, drawn):
    saves = spread.saves
    spread.take_back(5, "ann")
    assert spread.propagations.unanswered() == []
    spread.propagations.follow(5, [4, 6])  # as the job does that follows
    spread.save_correction(5, drawn(9), "ann")  # another mask, which nobody has propagated
    assert spread.propagations.unanswered() == [] and spread.saves > saves


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
