from __future__ import annotations

import pytest
from lib.store import describe_video, summarise_video

VIDEO = "p1_a.frames"


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda video, mask: None, "new"),
        (lambda video, mask: video.write_prediction("predicted", 0, mask, scores=1.0), "partly annotated"),
        (lambda video, mask: video.end_annotation("model"), "annotated"),
        (lambda video, mask: video.save_correction(3, mask, "ann"), "corrected"),
        (lambda video, mask: video.set_final(True, "ann"), "final"),
        (lambda video, mask: video.info.set_job_error("out of memory"), "failed"),
    ],
)
def test_the_state_of_a_video(video, drawn, change, state):
    video.begin_annotation()
    change(video, drawn())
    assert summarise_video(video)["state"] == state


def test_a_summary_opens_nothing(video, drawn):
    summary = summarise_video(video)
    assert (summary["id"], summary["frames"], summary["width"], summary["rank"]) == (VIDEO, None, None, None)
    video.save_correction(3, drawn(), "ann")
    summary = summarise_video(video)
    assert (summary["frames"], summary["width"], summary["height"], summary["corrected"]) == (12, 80, 64, 1)


def test_a_description_has_each_frame(video, drawn):
    video.save_correction(3, drawn(2), "ann")
    found = describe_video(video)
    assert summarise_video(video).items() <= found.items()
    assert [len(found[name]) for name in ("scores", "uncertainty", "has_polyp", "doubt")] == [12] * 4
    assert [(entry["frame"], entry["user"], entry["empty"]) for entry in found["corrections"]] == [(3, "ann", False)]
    assert ([entry["id"] for entry in found["lesions"]], found["free_lesion"]) == ([2], 1)
    assert (found["seconds"], found["final"], found["warnings"]) == (None, False, [])


def test_unreadable_frames_are_described(video, drawn):
    video.begin_annotation()
    for frame in range(10):
        video.write_prediction("predicted", frame, drawn(), scores=1.0)
    video.end_annotation("model")
    found = describe_video(video)
    assert (found["unreadable"], found["without_mask"], found["state"]) == (2, 0, "annotated")
    assert found["warnings"] == [
        "2 of 12 frames cannot be read (the first one is frame 11): they have no mask, and count as frames without a "
        "polyp"
    ]
