from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

VIDEO = "p1_a.frames"
MASK = f"videos/{VIDEO}/frames/3/mask"


def labels(answer) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(answer.content)))


def test_a_mask_is_saved_and_read(client, png, drawn):
    empty = client.get(MASK)
    assert (empty.headers["x-mask-source"], empty.headers["x-mask-version"]) == ("none", "0")
    assert not labels(empty).any()
    saved = client.put(MASK, content=png(7), headers={"If-Match": '"0"'}).json()
    assert (saved["version"], saved["frame"], saved["user"], "job" in saved) == (1, 3, "admin", False)
    answer = client.get(MASK)
    assert (answer.headers["x-mask-source"], answer.headers["x-mask-version"]) == ("corrected", "1")
    assert answer.headers["content-type"] == "image/png" and (labels(answer) == drawn(7)).all()


@pytest.mark.parametrize(
    ("if_match", "status"), [(None, 200), ("*", 200), ("1", 200), ("0", 409), ("2", 409), ("new", 400)]
)
def test_a_save_replaces_the_version_that_it_started_from(client, png, if_match, status):
    client.put(MASK, content=png())
    answer = client.put(MASK, content=png(2), headers={"If-Match": if_match} if if_match else {})
    assert answer.status_code == status
    if status == 409:
        assert answer.json()["version"] == 1 and "load its mask again" in answer.json()["detail"]


def test_a_save_spreads_if_asked_to(client, services, png):
    job = services.jobs[client.put(MASK, content=png(), params={"propagate": "true"}).json()["job"]]
    assert (job.image, job.kind, job.frame, job.user, job.owner) == (VIDEO, "propagate", 3, "admin", "127.0.0.1")


def test_a_correction_is_taken_back(client, services, png, drawn):
    assert client.delete(MASK).status_code == 404
    client.put(MASK, content=png())
    assert client.delete(MASK).json() == {"frame": 3, "version": 2}
    client.put(MASK, content=png())
    services.videos[VIDEO].write_propagated(4, drawn(), [3])
    taken = client.delete(MASK).json()
    assert taken["version"] == 4 and services.jobs[taken["job"]].frame == 3


def test_a_correction_that_has_spread_far_is_followed(client, services, png, drawn):
    client.put(MASK, content=png())
    services.videos[VIDEO].write_propagated(9, drawn(), [3])
    assert services.jobs[client.delete(MASK).json()["job"]].frame == 3


def test_a_bad_mask(client):
    answer = client.put(MASK, content=b"GIF89a")
    assert answer.status_code == 400 and "8-bit grey" in answer.json()["detail"]


def test_the_models_own_mask(client, services, png, drawn):
    services.videos[VIDEO].write_prediction("predicted", 3, drawn(2))
    client.put(MASK, content=png(7))
    assert (labels(client.get(MASK, params={"original": "true"})) == drawn(2)).all()
