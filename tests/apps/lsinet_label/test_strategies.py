from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("monailabel")

from lib.errors import NotFound
from lib.strategies import STRATEGIES, DoubtStrategy, next_frame

from lsinet_monai.errors import InputError

VIDEO = "p1_a.frames"


@pytest.fixture
def annotated(video):
    """Frame 7 is uncertain; the mask of frame 4 differs from its neighbours."""
    video.begin_annotation()
    before = None
    for frame in range(12):
        labels = np.zeros(video.info.size, np.uint8)
        labels[:20, :20] = frame != 4
        change = float(before is not None and (before != labels).any())
        video.write_prediction("predicted", frame, labels, scores=0.9, uncertainty=0.9 * (frame == 7), changes=change)
        before = labels
    video.end_annotation("model")
    return video


def test_a_new_video_starts_at_its_first_frame(video):
    assert next_frame([video], "doubt") == {"id": VIDEO, "frame": 0, "doubt": None}


@pytest.mark.parametrize(("strategy", "frame"), [("uncertainty", 7), ("disagreement", 4), ("doubt", 4)])
def test_the_most_doubtful_frame(annotated, strategy, frame):
    found = next_frame([annotated], strategy)
    assert found["frame"] == frame and 0 < found["doubt"] <= 1
    task = DoubtStrategy(strategy, {VIDEO: annotated})
    assert (
        task({}, SimpleNamespace(list_images=lambda: [VIDEO])) == found and task.description == STRATEGIES[strategy][0]
    )


def test_corrected_frames_and_final_videos_do_not_count(annotated):
    annotated.save_correction(4, annotated.mask(4).labels, "ann")
    assert next_frame([annotated], "doubt")["frame"] == 7
    annotated.set_final(True, "ann")
    with pytest.raises(NotFound, match="no video left"):
        next_frame([annotated], "doubt")


def test_what_lies_near_a_saved_frame_was_seen_too(annotated):
    annotated.info.update(fps=4)  # half a second is two frames
    annotated.save_correction(6, annotated.mask(6).labels, "ann")
    annotated.save_correction(2, annotated.mask(2).labels, "ann")
    # Frame 4 comes last, although it is the most doubtful: the frames around 9 have a little doubt.
    for frame in (9, 10):
        annotated.write_prediction("predicted", frame, annotated.mask(frame).labels, scores=0.9, uncertainty=0.1)
    assert next_frame([annotated], "uncertainty")["frame"] in (9, 10)


def test_seen_videos_come_after_new_ones(annotated, open_store, studies):
    shutil.copytree(studies / VIDEO, studies / "p2_a.frames")
    annotated.info.update(fps=4)
    new = open_store()["p2_a.frames"]
    assert next_frame([new, annotated], "doubt")["id"] == VIDEO
    for frame in range(2, 12, 4):
        annotated.save_correction(frame, annotated.mask(frame).labels, "ann")
    assert next_frame([annotated, new], "doubt") == {"id": "p2_a.frames", "frame": 0, "doubt": None}
    assert next_frame([annotated], "doubt")["frame"] == 4


def test_an_unknown_strategy(video):
    with pytest.raises(InputError, match="strategy='luck' must be one of doubt, uncertainty, disagreement"):
        next_frame([video], "luck")
