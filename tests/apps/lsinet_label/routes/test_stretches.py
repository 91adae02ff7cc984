from __future__ import annotations

import pytest

VIDEO = "p1_a.frames"
STRETCH = f"videos/{VIDEO}/stretch"


@pytest.fixture
def annotated(services, drawn):
    video = services.videos[VIDEO]
    video.begin_annotation()
    for frame in range(12):
        video.write_prediction("predicted", frame, drawn(1), scores=0.9, uncertainty=0.1)
    video.end_annotation("model")
    return video


def test_a_stretch_is_checked_and_the_step_is_undone(client, annotated):
    answer = client.post(STRETCH, json={"first": 2, "last": 4, "act": "check"}).json()
    assert answer == {"act": 1, "frames": [2, 3, 4]}
    video = client.get(f"videos/{VIDEO}").json()
    assert (video["corrected"], video["checked"]) == (0, 3)
    assert [(c["frame"], c["how"], c["user"]) for c in video["corrections"]] == [
        (frame, "checked", "admin") for frame in (2, 3, 4)
    ]
    assert client.get(f"videos/{VIDEO}/frames/3/mask").headers["x-mask-source"] == "checked"
    assert client.post(f"videos/{VIDEO}/undo", json={"act": 1}).json()["frames"] == [2, 3, 4]
    assert client.get(f"videos/{VIDEO}").json()["corrections"] == []
    assert client.post(f"videos/{VIDEO}/undo", json={"act": 1}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"act": "remove"}, 400, "needs lesion"),
        ({"act": "relabel", "lesion": 1}, 400, "needs into"),
        ({"act": "copy"}, 400, "needs frame"),
        ({"act": "copy", "frame": 12}, 404, "frame 12"),
        ({"act": "burn"}, 422, "check"),
        ({"act": "empty", "last": 99}, 404, "frame 99"),
        ({"act": "remove", "lesion": 256}, 422, "255"),
    ],
)
def test_a_call_that_makes_no_sense(client, annotated, body, status, said):
    answer = client.post(STRETCH, json={"first": 2, "last": 4, **body})
    assert answer.status_code == status and said in answer.text
    assert not annotated.corrections


def test_a_checked_frame_does_not_spread(client, services, annotated):
    services.model.path = lambda: None
    client.post(STRETCH, json={"first": 2, "last": 2, "act": "check"})
    answer = client.post("jobs", json={"image": VIDEO, "kind": "propagate", "frame": 2})
    assert answer.status_code == 409 and "is not corrected" in answer.json()["detail"]


def test_a_cleared_correction_no_longer_reaches_others(client, services, annotated, png):
    client.put(f"videos/{VIDEO}/frames/3/mask", content=png(7))
    answer = client.post(STRETCH, json={"first": 0, "last": 11, "act": "clear"}).json()
    assert answer["frames"] == [3] and not annotated.corrections
    assert [(job.kind, job.frame) for job in services.jobs.jobs()] == [("propagate", 3)]
