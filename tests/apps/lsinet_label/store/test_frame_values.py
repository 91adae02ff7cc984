from __future__ import annotations

import numpy as np

VIDEO = "p1_a.frames"


def predict(video, drawn, uncertain: int) -> None:
    """Values of all frames, of which one is uncertain."""
    video.begin_annotation()
    for frame in range(12):
        values = {"scores": 0.9, "uncertainty": 0.8 * (frame == uncertain), "changes": 0.0}
        video.write_prediction(video.annotated_kind, frame, drawn(), **values)
    video.end_annotation("model")


def test_values_are_read_again(open_store, drawn):
    predict(open_store()[VIDEO], drawn, 7)
    values = open_store()[VIDEO].values
    assert values.per_frame("uncertainty") == [0.8 * (frame == 7) for frame in range(12)]
    assert values.per_frame("has_polyp") == [True] * 12 and values.per_frame("lesions") == [[1]] * 12


def test_a_correction_replaces_the_models_values(video, drawn):
    predict(video, drawn, 7)
    video.write_prediction("propagated", 6, drawn(2), scores=0.5, uncertainty=0.3)
    video.save_correction(7, np.zeros_like(drawn()), "ann")
    values = video.values
    assert values.per_frame("uncertainty")[6:8] == [0.3, 0.0] and values.per_frame("scores")[6:8] == [0.5, 0.0]
    assert values.per_frame("has_polyp")[7] is False and values.per_frame("lesions")[6:8] == [[2], ()]
    video.take_back(7, "ann")
    video.remove_propagated({6})
    assert values.per_frame("uncertainty")[6:8] == [0.0, 0.8] and values.per_frame("lesions")[6] == [1]


def test_doubt_follows_each_change(video, drawn):
    assert video.values.rank() is None and video.values.doubts() == []
    predict(video, drawn, 7)
    before = video.values.rank()
    assert np.argmax(video.values.doubts()) == 7
    video.save_correction(7, drawn(), "ann")
    assert video.values.doubts()[7] is None and video.values.rank() < before
    assert video.values.rank() == 0
    for frame in (3, 4):  # the mask of frame 3 differs from both neighbours
        video.values.set_change(frame, 1.0)
    assert video.values.per_frame("changes")[2:6] == [0, 1, 1, 0] and video.values.rank() > 0
    video.set_final(True, "ann")
    assert video.values.rank() is None


def test_expected_errors_and_gaps_make_the_doubt(video, drawn):
    video.begin_annotation()
    for frame in range(12):
        labels = drawn() * (frame not in (4, 9))
        values = {"scores": 0.9, "uncertainty": 0.9, "errors": 0.1 + 0.2 * (frame == 7), "quality": 5.0 * (frame != 2)}
        video.write_prediction(video.annotated_kind, frame, labels, **values)
    video.end_annotation("model")
    expected = [0.1] * 12
    expected[4] = expected[9] = 0.55  # gaps
    expected[7] = 0.3
    assert video.values.doubts() == expected and video.values.unclear() == [2]
    video.save_correction(2, drawn(), "ann")
    video.write_prediction("propagated", 7, drawn(), scores=0.9, uncertainty=0.9, errors=0.2)
    assert video.values.doubts()[2] is None and video.values.doubts()[7] == 0.2
    assert video.values.unclear() == [2]  # a correction does not change the picture


def test_while_some_expected_errors_are_missing_all_frames_are_rated_without_them(video, drawn):
    predict(video, drawn, 7)
    before = video.values.doubts()
    video.write_prediction("propagated", 3, drawn(), scores=0.9, uncertainty=0.0, errors=0.9, quality=1.0)
    assert video.values.doubts() == before and video.values.unclear() == []


def test_frames_without_a_mask_are_counted(video, drawn):
    assert video.values.without_mask() == 0  # not opened yet
    video.info.open_once()
    assert video.values.without_mask() == 12
    video.begin_annotation()
    assert video.values.without_mask() == 12
    video.write_prediction("predicted", 0, drawn(), scores=0.9, uncertainty=0.0)
    video.save_correction(5, drawn(), "ann")
    assert video.values.without_mask() == 10 and video.values.without_mask(original=True) == 11
    video.end_annotation("model")
    assert video.values.without_mask() == 0


def test_frames_that_the_model_could_not_read_are_listed(video, drawn, open_store):
    video.begin_annotation()
    for frame in {*range(12)} - {4, 5, 9}:
        video.write_prediction("predicted", frame, drawn(), scores=0.9, uncertainty=0.0)
    assert video.values.unreadable() == []  # not known yet
    video.end_annotation("model")
    for now in (video, open_store()[VIDEO]):
        assert now.values.unreadable() == [4, 5, 9] and now.values.without_mask() == 0
    video.stretches.empty(5, 9, "ann")
    assert video.values.unreadable() == [4]


def test_what_is_known_of_changes_next_to_propagated_masks_ends_with_the_old_masks(video, drawn):
    predict(video, drawn, 7)
    video.write_prediction("propagated", 3, drawn(2), scores=0.5, uncertainty=0.3)
    for frame in (3, 4):
        video.values.set_change(frame, 0.5)
    predict(video, drawn, 7)
    assert video.values.per_frame("changes")[2:6] == [0, 0.5, 0, 0]
