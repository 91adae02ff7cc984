from __future__ import annotations

import pytest

VIDEO = "p1_a.frames"
STRETCH = f"videos/{VIDEO}/stretch"


@pytest.fixture
def annotated(services, find_polyps):
    return find_polyps(services.videos[VIDEO])


def test_a_stretch_is_checked_and_the_step_is_undone(client, annotated):
    answer = client.post(STRETCH, json={"first": 2, "last": 4, "act": "check"}).json()
    assert answer == {"act": 1, "frames": [2, 3, 4], "into": None}
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
        ({"act": "relabel", "into": 1}, 400, "needs lesion"),
        ({"act": "merge", "lesion": 1}, 400, "needs into"),
        ({"act": "unlist"}, 400, "needs lesion"),
        ({"act": "unlist", "lesion": 1}, 400, "delete it from its frames first"),
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


def test_a_cleared_correction_no_longer_reaches_others(client, services, annotated, png, drawn):
    for frame in (3, 8):
        client.put(f"videos/{VIDEO}/frames/{frame}/mask", content=png(7))
    annotated.write_propagated(9, drawn(7), [3])  # frame 3 has spread, frame 8, next to it, has not
    answer = client.post(STRETCH, json={"first": 0, "last": 11, "act": "clear"}).json()
    assert answer["frames"] == [3, 8] and not annotated.corrections
    (job,) = services.jobs.jobs()
    assert (job.kind, job.frame) == ("propagate", 3)
    services.jobs.cancel(job.job)
    client.post(f"videos/{VIDEO}/undo", json={"act": answer["act"]})
    assert annotated.corrections.keys() == {3, 8} and [job.frame for job in services.jobs.jobs()] == [3]
    other = services.jobs.submit(VIDEO, "propagate", 3)
    client.post(STRETCH, json={"first": 8, "last": 8, "act": "clear"})  # a waiting job does not know frame 8
    assert [job.frame for job in services.jobs.jobs()] == [3, 3]
    client.post(f"videos/{VIDEO}/undo", json={"act": answer["act"] + 1})
    other.state = "running"  # it may be spreading frame 8
    client.post(STRETCH, json={"first": 8, "last": 8, "act": "clear"})
    assert [job.frame for job in services.jobs.jobs()] == [3, 3, 8]


def test_what_jobs_changed_in_frames_that_are_as_before_is_forgotten(client, services, annotated, png, drawn):
    client.put(f"videos/{VIDEO}/frames/3/mask", content=png(7))
    before = {4: annotated.propagations.replaceable(4)}
    annotated.write_propagated(4, drawn(7), [3])
    annotated.propagations.note(3, before)
    jobs = [services.jobs.submit(VIDEO, "propagate", 3), services.jobs.submit(VIDEO, "annotate")]
    for job in jobs:
        job.state, job.changed = "done", [{"frame": frame, "change": 0.5} for frame in (4, 5)]
    client.post(f"videos/{VIDEO}/undo", json={"act": 1})
    assert [[entry["frame"] for entry in job.changed] for job in jobs] == [[5], [4, 5]]


def test_undoing_an_act_ends_what_was_to_follow_it(client, services, annotated, png, drawn):
    client.put(f"videos/{VIDEO}/frames/3/mask", content=png(7))
    annotated.write_propagated(4, drawn(7), [3])
    act = client.post(STRETCH, json={"first": 3, "last": 3, "act": "clear"}).json()["act"]
    annotated.remove_orphans()  # as the job does
    assert not annotated.propagated_frames()
    assert client.post(f"videos/{VIDEO}/undo", json={"act": act}).json()["frames"] == [3, 4]
    assert annotated.propagated_from(3) == {4} and (annotated.mask(4).labels == drawn(7)).all()
    assert [(job.frame, job.state) for job in services.jobs.jobs()] == [(3, "cancelled")]

    act = client.post(STRETCH, json={"first": 3, "last": 3, "act": "clear"}).json()["act"]
    client.put(f"videos/{VIDEO}/frames/3/mask", content=png(2))
    assert client.post(f"videos/{VIDEO}/undo", json={"act": act}).status_code == 409  # what follows goes on
    assert [(job.frame, job.state) for job in services.jobs.jobs()][1:] == [(3, "cancelled"), (3, "queued")]


@pytest.mark.parametrize("act", [{"act": "empty"}, {"act": "copy", "frame": 11}])
def test_a_stretch_that_replaces_a_correction_is_followed(client, services, annotated, png, drawn, act):
    client.put(f"videos/{VIDEO}/frames/3/mask", content=png(7))
    annotated.write_propagated(9, drawn(7), [3])
    answer = client.post(STRETCH, json={"first": 2, "last": 4, **act}).json()
    assert [(job.kind, job.frame) for job in services.jobs.jobs()] == [("propagate", 3)]
    client.post(f"videos/{VIDEO}/undo", json={"act": answer["act"]})
    assert [(job.frame, job.state) for job in services.jobs.jobs()] == [(3, "cancelled")]
    assert annotated.propagated_from(3) == {9}


def test_a_lesion_gets_a_new_id(client, services, annotated, png):
    answer = client.post(STRETCH, json={"first": 6, "last": 11, "act": "relabel", "lesion": 1}).json()
    assert (answer["into"], answer["frames"]) == (2, [6, 7, 8, 9, 10, 11])
    assert annotated.lesions.per_frame()[5:7] == [[1], [2]] and annotated.lesions.last_named_id() == 2
    services.jobs.submit(VIDEO, "annotate")
    answer = client.post(STRETCH, json={"first": 6, "last": 11, "act": "relabel", "lesion": 2})
    assert answer.status_code == 409 and "a job is working" in answer.json()["detail"]


def test_a_propagation_is_not_undone_while_a_job_goes_over_it(client, services, annotated, drawn):
    before = {4: annotated.propagations.replaceable(4)}
    annotated.save_correction(5, drawn(3), "ann")
    annotated.write_propagated(4, drawn(3), [5])
    annotated.propagations.note(5, before)
    job = services.jobs.submit(VIDEO, "propagate", 5)
    answer = client.post(f"videos/{VIDEO}/undo", json={"act": 1})
    assert answer.status_code == 409 and "wait until it is done" in answer.json()["detail"]
    assert (annotated.mask(4).labels == drawn(3)).all()
    services.jobs.cancel(job.job)
    assert client.post(f"videos/{VIDEO}/undo", json={"act": 1}).json()["frames"] == [4]


def test_a_propagation_is_kept(client, annotated, drawn):
    before = {4: annotated.propagations.replaceable(4)}
    annotated.save_correction(3, drawn(7), "ann")
    annotated.write_prediction("propagated", 4, drawn(7))
    annotated.propagations.note(3, before)
    assert client.get(f"videos/{VIDEO}").json()["spreads"] == [{"act": 1, "frame": 3, "frames": [4]}]
    assert client.post(f"videos/{VIDEO}/keep", json={"act": 1}).json() == {"act": 1, "frames": [4]}
    assert client.get(f"videos/{VIDEO}").json()["spreads"] == []
    assert client.post(f"videos/{VIDEO}/keep", json={"act": 9}).status_code == 404
