from __future__ import annotations

import numpy as np
import pytest
from lib.changes import Changes


@pytest.fixture
def annotated(video, find_polyps):
    return find_polyps(video)


def test_changed_masks_are_told_with_how_much(annotated, drawn):
    changes = Changes(annotated, None)
    changes.remember(range(3, 6))
    annotated.write_prediction("propagated", 4, np.zeros_like(drawn(1)), scores=0.1)
    annotated.save_correction(5, np.zeros_like(drawn(1)), "ann")  # a person's mask is not the job's
    assert changes.note() == [{"frame": 4, "change": 1.0}]
    assert annotated.propagations.unanswered() == []


def test_masks_are_remembered_as_they_were_first(annotated, drawn):
    changes = Changes(annotated, None)
    changes.remember([4])
    annotated.write_prediction("propagated", 4, np.zeros_like(drawn(1)), scores=0.1)
    changes.remember([4])
    assert [entry["frame"] for entry in changes.note()] == [4]


def test_what_one_correction_replaced_can_be_undone(annotated, drawn):
    annotated.save_correction(5, drawn(3), "ann")
    changes = Changes(annotated, 5)
    changes.remember([4, 6])
    annotated.write_prediction("propagated", 4, drawn(3), scores=0.5)
    changes.note()
    spread = annotated.propagations.unanswered()[0]
    assert (spread["frame"], spread["frames"]) == (5, [4])
