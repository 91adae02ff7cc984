"""A label store that was written before the store became a package: 8x8 pictures, and all kinds of files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from lib.store import describe_video

VIDEO = "p1_a.frames"
SAVED = {3: ("Zoë", 1, (7,)), 5: ("bob", 2, (201,)), 8: ("ann", 1, ())}  # user, version, lesions


def test_an_old_store_is_read_as_it_was(open_store, studies):
    folder = studies / "labels" / "lsinet" / VIDEO
    with zipfile.ZipFile(Path(__file__).with_name("old_store.zip")) as archive:
        archive.extractall(folder)
    video = open_store()[VIDEO]
    found = describe_video(video)
    # The same video in another file: it is recognised by the old pictures.
    assert (found["state"], found["frames"], found["corrected"]) == ("final", 12, 3)
    assert {f: (c.user, c.version, c.lesions) for f, c in video.corrections.items()} == SAVED
    assert [video.mask(frame).version for frame in range(12)] == [0, 0, 0, 1, 0, 2, 0, 0, 1, 2, 0, 0]
    assert video.propagated_frames() == [0, 1, 2, 4]
    assert set(np.unique(video.mask(5).labels)) == {0, 7}  # 201 was merged into 7
    assert found["lesions"] == [
        {"id": 1, "name": "Polyp 1", "colour": "#00d5ff"},
        {"id": 7, "name": "sigmoid", "colour": "#123456"},
    ]
    assert found["uncertainty"][:4] == [0.5505, 0.5539, 0.562, 0.0] and found["doubt"][:4] == [
        0.2777,
        0.2769,
        0.281,
        None,
    ]
    assert found["unclear"] == []  # unknown
    actions = [entry["action"] for entry in video.history.entries()]
    assert actions == ["save"] * 5 + ["take back", "merge", "final"]
    video.set_final(False, "ann")
    assert video.save_correction(5, np.zeros(video.info.size, np.uint8), "ann").version == 3
    assert len(json.loads((folder / "video.json").read_text())["pictures"][0]) == 3 * 16 * 16
