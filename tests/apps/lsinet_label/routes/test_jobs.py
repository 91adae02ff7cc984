from __future__ import annotations

import pytest

VIDEO = "p1_a.frames"


@pytest.fixture
def with_model(services):
    services.model.checkpoint.touch()


@pytest.mark.usefixtures("with_model")
def test_a_job_is_asked_for_followed_and_cancelled(client, services):
    answer = client.post("jobs", json={"image": VIDEO, "kind": "annotate", "frame": 3})
    assert answer.status_code == 202
    job_id = answer.json()["job"]
    job = client.get(f"jobs/{job_id}").json()
    assert (job["image"], job["kind"], job["frame"], job["state"], job["message"]) == (
        VIDEO, "annotate", None, "queued", "waiting",
    )  # fmt: skip
    assert client.post("jobs", json={"image": VIDEO, "kind": "annotate"}).json()["job"] == job_id
    listed = client.get("jobs").json()
    assert [entry["job"] for entry in listed] == [job_id] and "changed" not in listed[0] and "changed" in job
    assert client.delete(f"jobs/{job_id}").json()["state"] == "cancelled"


@pytest.mark.usefixtures("with_model")
def test_a_mask_that_is_being_propagated_is_not_propagated_twice(client, services, png):
    wanted = {"image": VIDEO, "kind": "propagate", "frame": 3}
    path = f"videos/{VIDEO}/frames/3/mask"
    client.put(path, content=png())
    job = services.jobs[client.post("jobs", json=wanted).json()["job"]]
    job.state, job.version = "running", 1
    assert client.post("jobs", json=wanted).json()["job"] == job.job
    client.put(path, content=png(2))
    assert client.post("jobs", json=wanted).json()["job"] != job.job


@pytest.mark.usefixtures("with_model")
@pytest.mark.parametrize(
    ("wanted", "status", "message"),
    [
        ({"image": "nobody.mp4", "kind": "annotate"}, 404, "there is no video"),
        ({"image": "damaged.mp4", "kind": "annotate"}, 400, "damaged.mp4"),
        ({"image": VIDEO, "kind": "propagate", "frame": 99}, 404, "has the frames 0 to 11"),
        ({"image": VIDEO, "kind": "propagate", "frame": 3}, 409, "is not corrected: save its mask first"),
        ({"image": VIDEO, "kind": "label"}, 422, None),
    ],
)
def test_jobs_that_are_refused(client, wanted, status, message):
    answer = client.post("jobs", json=wanted)
    assert answer.status_code == status and (message is None or message in answer.json()["detail"])


def test_without_a_model(client):
    answer = client.post("jobs", json={"image": VIDEO, "kind": "annotate"})
    assert answer.status_code == 409 and "--conf checkpoint FILE" in answer.json()["detail"]


@pytest.mark.usefixtures("with_model")
def test_a_final_video(client, services):
    services.videos[VIDEO].set_final(True, "ann")
    answer = client.post("jobs", json={"image": VIDEO, "kind": "annotate"})
    assert answer.status_code == 409 and "is marked as final" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_job(client, method):
    answer = client.request(method, "jobs/0badbadbadbad000")
    assert answer.status_code == 404 and "'0badbadbadbad000'" in answer.json()["detail"]
