"""What people and jobs do to a stored video, and that nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from lib.errors import Conflict, NotFound

SIZE = (64, 80)
VIDEO = "p1_a.frames"


def test_a_new_video_has_no_masks(video):
    assert video.mask(3).source == "none" and video.mask(3).labels.shape == SIZE and not video.mask(3).labels.any()
    with pytest.raises(NotFound, match="has the frames 0 to 11"):
        video.mask(12)


def test_a_correction_is_there_after_a_restart(open_store, drawn):
    saved = open_store()[VIDEO].save_correction(3, drawn(7), "Zoë")
    video = open_store()[VIDEO]
    assert video.corrections == {3: saved} and (saved.user, saved.version, saved.lesions) == ("Zoë", 1, (7,))
    mask = video.mask(3)
    assert (mask.source, mask.version) == ("corrected", 1) and (mask.labels == drawn(7)).all()
    history = video.history.entries()
    assert [(line["user"], line["action"], line["frame"]) for line in history] == [("Zoë", "save", 3)]


def test_no_polyp_is_a_correction(video):
    assert video.save_correction(0, np.zeros(SIZE, np.uint8), "ann").empty
    assert video.values.per_frame("has_polyp")[0] is False


def test_a_persons_mask_wins(video, drawn):
    video.begin_annotation()
    for kind, lesion in (("predicted", 1), ("propagated", 2)):
        video.write_prediction(kind, 5, drawn(lesion), scores=0.9, uncertainty=0.5)
        assert video.mask(5).labels.max() == lesion
    assert video.is_propagated(5) and video.propagated_frames() == [5]
    video.save_correction(5, drawn(3), "ann")
    assert video.corrected_labels(5).max() == 3 and video.corrected_labels(6) is None
    assert video.mask(5).labels.max() == 3 and video.mask(5, original=True).labels.max() == 1
    video.take_back(5, "ann")
    assert (video.mask(5).labels.max(), video.mask(5).version) == (2, 2)
    video.remove_propagated([5])
    assert video.mask(5).labels.max() == 1
    with pytest.raises(NotFound, match=r"frame 5 .* is not corrected"):
        video.take_back(5, "ann")


def test_a_new_annotation_changes_nothing_until_it_is_complete(open_store, drawn):
    video = open_store()[VIDEO]
    video.begin_annotation()
    for frame in range(12):
        video.write_prediction(video.annotated_kind, frame, drawn(1), scores=0.9, uncertainty=0.5)
    video.write_prediction("propagated", 6, drawn(2), scores=0.8, uncertainty=0.4)
    video.end_annotation("model")
    video.save_correction(7, drawn(3), "ann")
    before = [video.mask(frame).labels.max() for frame in range(12)], video.values.per_frame("scores")
    assert before == ([1, 1, 1, 1, 1, 1, 2, 3, 1, 1, 1, 1], [0.9] * 6 + [0.8, 1.0] + [0.9] * 4)

    video.begin_annotation()
    for frame in range(4):
        video.write_prediction(video.annotated_kind, frame, drawn(4), scores=0.7, uncertainty=0.5)
    video.values.flush()
    for store in (video, open_store()[VIDEO]):  # also after a restart
        assert ([store.mask(f).labels.max() for f in range(12)], store.values.per_frame("scores")) == before
        assert store.info.is_annotated and store.annotated_labels(3).max() == 4 and not store.annotated_labels(4).any()

    video = open_store()[VIDEO]
    for frame in range(4, 12):
        video.write_prediction(video.annotated_kind, frame, drawn(4), scores=0.7, uncertainty=0.5)
    video.end_annotation("other")
    for store in (video, open_store()[VIDEO]):
        assert [store.mask(f).labels.max() for f in range(12)] == [4, 4, 4, 4, 4, 4, 2, 3, 4, 4, 4, 4]
        assert store.values.per_frame("scores") == [0.7] * 6 + [0.8, 1.0] + [0.7] * 4
        assert store.info.get("annotated")["model"] == "other" and store.annotated_kind == "predicted"


def test_the_masks_of_a_final_video_are_not_replaced(video, drawn):
    video.begin_annotation()
    video.write_prediction(video.annotated_kind, 0, drawn(1), scores=0.9)
    video.end_annotation("model")
    video.begin_annotation()
    video.write_prediction(video.annotated_kind, 0, drawn(2), scores=0.9)
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="is marked as final"):
        video.end_annotation("other")
    assert video.mask(0).labels.max() == 1


def test_a_video_that_was_never_opened_is_not_whole(video):
    with pytest.raises(Conflict, match="12 of the 12 frames"):
        video.check_whole()


def test_a_save_that_starts_from_an_old_mask_is_refused(open_store, drawn):
    video = open_store()[VIDEO]
    video.save_correction(3, drawn(), "ann", version=0)
    with pytest.raises(Conflict, match="somebody else") as caught:
        video.save_correction(3, drawn(), "bob", version=0)
    assert caught.value.details == {"version": 1}
    video.take_back(3, "ann")
    assert open_store()[VIDEO].mask(3).version == 2


def test_one_of_many_saves_at_once_wins(open_store, drawn):
    video = open_store()[VIDEO]
    video.info.open_once()

    def save(lesion):
        try:
            return video.save_correction(3, drawn(lesion), str(lesion), version=0).lesions
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [lesions for lesions in pool.map(save, range(1, 9)) if lesions]
    assert len(won) == 1 and open_store()[VIDEO].corrections[3].lesions == won[0]


def test_a_full_disk_keeps_the_mask_before(open_store, full_disk, drawn):
    video = open_store()[VIDEO]
    video.save_correction(3, drawn(1), "ann")
    full_disk("fsync")
    with pytest.raises(OSError, match="No space left"):
        video.save_correction(3, drawn(2), "ann")
    full_disk()
    assert video.mask(3).labels.max() == 1 and open_store()[VIDEO].mask(3).labels.max() == 1
    assert video.save_correction(3, drawn(2), "ann").version == 2


def test_a_full_disk_leaves_a_video_as_it_is(video, full_disk, drawn):
    video.save_correction(3, drawn(1), "ann")
    full_disk("replace")
    with pytest.raises(OSError, match="No space left"):
        video.set_final(True, "ann")
    with pytest.raises(OSError, match="No space left"):
        video.lesions.rename([{"id": 1, "name": "a", "colour": "#123456"}])
    full_disk()
    assert not video.info.is_final and video.lesions.entries()[0]["name"] == "Polyp 1"


def test_a_save_counts_though_the_disk_is_full_for_its_line_in_the_history(open_store, monkeypatch, drawn):
    video = open_store()[VIDEO]
    video.info.open_once()

    def fail(*_, **__):
        raise OSError

    monkeypatch.setattr(video.history, "add", fail)
    assert video.save_correction(3, drawn(1), "ann").version == 1
    again = open_store()[VIDEO]
    assert (again.corrections[3].user, again.mask(3).version) == ("ann", 1)


def test_a_final_video_does_not_change(open_store, drawn):
    video = open_store()[VIDEO]
    video.save_correction(2, drawn(), "ann")
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        video.save_correction(3, drawn(), "ann")
    with pytest.raises(Conflict, match="final"):
        video.take_back(2, "ann")
    assert open_store()[VIDEO].info.is_final
    video.set_final(False, "ann")
    video.save_correction(3, drawn(), "ann")
    assert [entry["action"] for entry in video.history.entries()] == ["save", "final", "open again", "save"]


def test_a_propagated_mask_knows_its_corrections(video, drawn, open_store):
    for frame in (3, 7):
        video.save_correction(frame, drawn(), "ann")
    assert video.write_propagated(4, drawn(), [3], scores=0.5)
    assert video.write_propagated(5, drawn(), [3, 7], scores=0.5)
    assert not video.write_propagated(6, drawn(), [2], scores=0.5)
    assert (video.propagated_from(3), video.propagated_from(7), video.orphans()) == ({4, 5}, {5}, set())
    video.values.flush()
    video.take_back(3, "ann")
    assert video.orphans() == {4} == open_store()[VIDEO].orphans()
    video.stretches.empty(7, 7, "ann")
    assert video.orphans() == {4, 5}


def test_masks_of_older_versions_are_orphans_without_a_correction_within_reach(video, drawn, monkeypatch):
    monkeypatch.setattr("lib.store.video.REACH", 4)
    for frame in (1, 9):
        video.write_prediction("propagated", frame, drawn())
    video.save_correction(4, drawn(), "ann")
    assert video.orphans() == {9}


@pytest.mark.parametrize(
    ("people", "reached"), [([], (2, 11)), ([3], (4, 11)), ([8], (2, 8)), ([6], (2, 11)), ([1, 11], (2, 11))]
)
def test_a_correction_reaches_the_frames_up_to_the_next_persons_mask(video, drawn, monkeypatch, people, reached):
    monkeypatch.setattr("lib.store.video.REACH", 4)
    for frame in people:
        video.save_correction(frame, drawn(), "ann")
    assert video.reached_from(6) == range(*reached)
