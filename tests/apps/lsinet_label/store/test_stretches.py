"""What people do to a stretch of frames, and that it can be undone."""

from __future__ import annotations

import numpy as np
import pytest
from lib.errors import Conflict, NotFound

from lsinet_monai.errors import InputError

VIDEO = "p1_a.frames"


@pytest.fixture
def annotated(video, drawn):
    """Lesion 1 in all frames by the network, lesion 2 in frames 4 to 6; frame 5 is saved by a person."""
    video.begin_annotation()
    for frame in range(12):
        labels = drawn(1)
        if frame in (4, 5, 6):
            labels[40:50, 50:60] = 2
        video.write_prediction("predicted", frame, labels, scores=0.9, uncertainty=0.1)
    video.end_annotation("model")
    video.save_correction(5, video.mask(5).labels, "ann")
    return video


def masks(video) -> list[bytes]:
    return [video.mask(frame).labels.tobytes() for frame in range(12)]


def test_checked_frames_are_noted_with_name_and_time(annotated, open_store):
    before = masks(annotated)
    act = annotated.stretches.check(3, 7, "bob")
    assert act.frames == [3, 4, 6, 7]  # frame 5 is a person's already
    assert masks(annotated) == before
    video = open_store()[VIDEO]
    checked = video.corrections[3]
    assert (checked.how, checked.user, checked.version, checked.time > "2026") == ("checked", "bob", 1, True)
    assert video.mask(3).source == "checked" and video.mask(5).source == "corrected"
    assert list(video.spreading_corrections) == [5]
    entry = video.history.entries()[-1]
    assert (entry["user"], entry["action"], entry["first"], entry["last"], entry["frames"]) == ("bob", "check", 3, 7, 4)
    assert video.values.doubts()[3] is None


def test_a_frame_without_a_mask_cannot_be_checked(video):
    assert video.stretches.check(0, 3, "bob").frames == []
    assert not video.corrections and not list((video.folder / "undo").iterdir())


@pytest.mark.parametrize(
    ("act", "arguments", "changed"),
    [
        ("check", (), [2, 3, 4, 6, 7, 8]),
        ("empty", (), [2, 3, 4, 5, 6, 7, 8]),
        ("clear", (), [5]),
        ("copy", (4,), [2, 3, 5, 6, 7, 8]),
        ("remove", (2,), [4, 5, 6]),
        ("relabel", (2, 1), [4, 5, 6]),
    ],
)
def test_every_act_changes_its_frames_alone_and_is_undone(annotated, open_store, act, arguments, changed):
    before, corrections = masks(annotated), annotated.corrections
    done = getattr(annotated.stretches, act)(2, 8, "bob", *arguments)
    assert done.frames == changed
    after = masks(annotated)
    assert [frame for frame in range(12) if before[frame] != after[frame] and frame not in changed] == []
    assert masks(open_store()[VIDEO]) == after
    versions = [annotated.mask(frame).version for frame in range(12)]
    assert annotated.stretches.undo(done.id, "bob").frames == changed
    for video in (annotated, open_store()[VIDEO]):
        assert masks(video) == before
        assert {f: (c.user, c.how, c.lesions) for f, c in video.corrections.items()} == {
            f: (c.user, c.how, c.lesions) for f, c in corrections.items()
        }
        assert all(video.mask(frame).version >= version for frame, version in enumerate(versions))
        assert video.values.per_frame("lesions")[4] == [1, 2] and video.values.per_frame("scores")[4] == 0.9
    with pytest.raises(NotFound, match="cannot be undone any more"):
        annotated.stretches.undo(done.id, "bob")


def test_what_the_acts_do(annotated, drawn):
    stretches = annotated.stretches
    stretches.remove(0, 11, "bob", 2)
    assert all((annotated.mask(frame).labels == drawn(1)).all() for frame in range(12))
    assert annotated.corrections[4].how == "filled" and list(annotated.corrections) == [4, 5, 6]
    stretches.empty(9, 10, "bob")
    assert not annotated.mask(9).labels.any() and annotated.corrections[10].empty
    stretches.relabel(0, 3, "bob", 1, 7)
    assert [np.unique(annotated.mask(frame).labels).tolist() for frame in (3, 4)] == [[0, 7], [0, 1]]
    assert 3 not in annotated.corrections  # another name does not make a mask a person's
    stretches.copy(0, 1, "bob", 9)
    assert not annotated.mask(0).labels.any() and not annotated.mask(1).labels.any()


def test_unlisting_a_lesion_is_undone(annotated, open_store):
    annotated.lesions.rename([{"id": 9, "name": "sigmoid", "colour": "#123456"}])
    listed = annotated.lesions.entries()
    act = annotated.stretches.unlist("bob", 9).id
    assert annotated.stretches.last() == {"act": act, "name": "unlist", "frames": []}
    assert 9 not in {lesion["id"] for lesion in annotated.lesions.entries()}
    annotated.stretches.undo(act, "bob")
    for video in (annotated, open_store()[VIDEO]):
        assert video.lesions.entries() == listed


def test_a_merge_is_undone(annotated, open_store):
    before = masks(annotated)
    act = annotated.stretches.merge("bob", 2, 1)
    assert [np.unique(annotated.mask(frame).labels).tolist() for frame in (3, 4, 5)] == [[0, 1]] * 3
    assert annotated.lesions.per_frame()[4] == [1]
    annotated.stretches.undo(act.id, "bob")
    for video in (annotated, open_store()[VIDEO]):
        assert masks(video) == before and video.lesions.per_frame()[4] == [1, 2]
    first = annotated.stretches.merge("bob", 2, 1)
    annotated.save_correction(6, np.where(annotated.mask(6).labels > 0, 3, 0).astype(np.uint8), "bob")
    annotated.stretches.merge("bob", 3, 1)
    with pytest.raises(Conflict, match="other lesions were merged since"):
        annotated.stretches.undo(first.id, "bob")
    with pytest.raises(InputError, match="cannot be merged"):
        annotated.stretches.merge("bob", 1, 1)


def test_a_step_is_not_undone_over_later_work(annotated, drawn):
    act = annotated.stretches.empty(2, 4, "bob")
    annotated.save_correction(3, drawn(9), "ann")
    before = masks(annotated)
    with pytest.raises(Conflict, match="frame 3 has changed since"):
        annotated.stretches.undo(act.id, "bob")
    assert masks(annotated) == before


def test_steps_are_undone_one_after_the_other(annotated):
    before = masks(annotated)
    acts = [annotated.stretches.remove(3, 7, "bob", 2), annotated.stretches.relabel(4, 7, "bob", 1, 9)]
    acts.append(annotated.stretches.empty(5, 6, "bob"))
    for act in reversed(acts):
        annotated.stretches.undo(act.id, "bob")
    assert masks(annotated) == before


def test_the_last_step_is_known_after_a_restart(annotated, open_store):
    assert annotated.stretches.last() is None
    annotated.stretches.empty(2, 4, "bob")
    act = annotated.stretches.check(8, 9, "bob")
    for video in (annotated, open_store()[VIDEO]):
        assert video.stretches.last() == {"act": act.id, "name": "check", "frames": [8, 9]}
    annotated.stretches.undo(act.id, "bob")
    assert annotated.stretches.last() == {"act": act.id - 1, "name": "empty", "frames": [2, 3, 4]}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_changes_nothing(annotated, open_store, full_disk, call):
    before, corrections = masks(annotated), annotated.corrections
    full_disk(call)
    with pytest.raises(OSError, match="No space left"):
        annotated.stretches.empty(2, 8, "bob")
    full_disk()
    for video in (annotated, open_store()[VIDEO]):
        assert masks(video) == before and video.corrections.keys() == corrections.keys()
        assert video.propagations.unanswered() == []


def test_what_a_killed_server_left_halfway_is_taken_back(annotated, open_store, monkeypatch):
    before, corrections = masks(annotated), annotated.corrections
    write = annotated._masks.write_correction

    def killed(correction, labels):
        if correction.frame == 6:
            raise SystemExit  # and nothing after it runs
        write(correction, labels)

    monkeypatch.setattr(annotated._masks, "write_correction", killed)
    monkeypatch.setattr(annotated.stretches, "_roll_back", lambda folder: None)
    with pytest.raises(SystemExit):
        annotated.stretches.empty(3, 8, "bob")
    store = open_store()
    assert masks(store[VIDEO]) != before and store[VIDEO].propagations.unanswered() == []
    store.recover()
    assert masks(store[VIDEO]) == before and store[VIDEO].corrections.keys() == corrections.keys()
    assert masks(open_store()[VIDEO]) == before and not list((annotated.folder / "undo").iterdir())


@pytest.fixture
def half_undone(annotated, monkeypatch):
    """Three frames were emptied, and that is undone in one of them; then the disk was full. With the masks before."""
    before = masks(annotated)
    act = annotated.stretches.empty(4, 6, "bob").id
    restore = annotated.stretches._restore

    def fail(entry, folder):
        if entry["frame"] == 5:
            raise OSError("No space left on device")
        restore(entry, folder)

    with monkeypatch.context() as patch:
        patch.setattr(annotated.stretches, "_restore", fail)
        with pytest.raises(OSError, match="No space left"):
            annotated.stretches.undo(act, "bob")
    assert masks(annotated) != before
    return annotated, act, before


def test_an_undo_that_was_interrupted_is_done_again(half_undone, open_store):
    _, act, before = half_undone
    video = open_store()[VIDEO]
    assert video.stretches.last()["act"] == act
    assert video.stretches.undo(act, "bob").frames == [4, 5, 6]
    assert masks(video) == before and list(video.corrections) == [5]


def test_a_mask_that_was_damaged_before_an_act_keeps_nobody_from_undoing_it(annotated, open_store):
    annotated.stretches.check(3, 3, "bob")
    (annotated.folder / "corrected" / "000003.png").write_bytes(b"")
    video = open_store()[VIDEO]
    act = video.stretches.empty(3, 6, "bob").id
    assert video.stretches.undo(act, "bob").frames == [3, 4, 5, 6]
    assert list(video.corrections) == [5] and video.mask(4).labels.any()


def test_an_earlier_act_is_not_undone_below_a_later_one(annotated):
    act = annotated.stretches.empty(4, 6, "bob").id
    annotated.stretches.clear(4, 4, "ann")
    with pytest.raises(Conflict, match="frame 4 has changed since"):
        annotated.stretches.undo(act, "bob")


def test_what_a_person_drew_after_it_stays(half_undone, drawn):
    video, act, _ = half_undone
    video.save_correction(4, drawn(3), "ann")
    with pytest.raises(Conflict, match="frame 4 has changed since"):
        video.stretches.undo(act, "bob")
    assert (video.mask(4).labels == drawn(3)).all()


def test_a_damaged_mask_keeps_nobody_from_the_others(annotated, open_store, caplog):
    annotated.stretches.check(3, 3, "bob")
    (annotated.folder / "corrected" / "000003.png").write_bytes(b"")
    assert list(open_store()[VIDEO].corrections) == [5] and "cannot be read" in caplog.text


def test_deleting_a_lesion_from_a_drawn_mask_leaves_it_drawn(annotated):
    annotated.stretches.remove(4, 6, "bob", 2)
    assert {frame: found.how for frame, found in annotated.corrections.items()} == {
        4: "filled",
        5: "drawn",
        6: "filled",
    }


def test_a_stretch_that_makes_no_sense(annotated):
    with pytest.raises(InputError, match="ends at frame 3, before its first frame 5"):
        annotated.stretches.empty(5, 3, "bob")
    with pytest.raises(NotFound, match="frame 12 is not in"):
        annotated.stretches.empty(5, 12, "bob")
    with pytest.raises(InputError, match="choose two lesions"):
        annotated.stretches.relabel(0, 3, "bob", 1, 1)
    annotated.set_final(True, "ann")
    with pytest.raises(Conflict, match="marked as final"):
        annotated.stretches.empty(5, 6, "bob")


def test_few_acts_are_kept(annotated):
    acts = [annotated.stretches.empty(2, 2, "bob").id for _ in range(52)]
    with pytest.raises(NotFound):
        annotated.stretches.undo(acts[1], "bob")
    annotated.stretches.undo(acts[-1], "bob")
