from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("monailabel")

from lib.scoring import DiceOfCorrections

VIDEO = "p1_a.frames"


@pytest.fixture
def datastore():
    stored = {}
    return SimpleNamespace(
        list_images=lambda: [VIDEO], update_image_info=lambda id, info: stored.update({id: info}), stored=stored
    )


def test_the_mean_over_corrected_frames(open_store, drawn, datastore):
    store = open_store()
    video, scoring = store[VIDEO], DiceOfCorrections(store)
    assert scoring({}, datastore) == {}
    video.begin_annotation()
    for frame in (2, 3):
        video.write_prediction("predicted", frame, drawn(1), scores=0.9, uncertainty=0.1)
    video.end_annotation("model")
    assert scoring({}, datastore) == {}  # nothing is corrected
    half = drawn(5)
    half[:, 30:] = 0
    video.save_correction(2, drawn(5), "ann")
    video.save_correction(3, half, "ann")
    expected = (1 + 2 * 200 / (400 + 200)) / 2
    assert scoring({}, datastore) == {VIDEO: pytest.approx(expected, abs=1e-4)}
    assert datastore.stored == {VIDEO: {"dice_of_corrections": pytest.approx(expected, abs=1e-4)}}
