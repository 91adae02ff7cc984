from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

VIDEO = "p1_a.frames"


def test_the_list_of_videos(client, services):
    listed = client.get("videos").json()
    assert [(row["id"], row["state"], row["job"], row["progress"]) for row in listed] == [
        ("damaged.mp4", "new", None, None),
        (VIDEO, "new", None, None),
    ]
    job = services.jobs.submit(VIDEO, "annotate")
    row = client.get("videos").json()[1]
    assert (row["state"], row["job"], row["progress"]) == ("annotating", job.job, 0.0)


def test_one_video(client, services, drawn):
    services.videos[VIDEO].save_correction(3, drawn(), "ann")
    found = client.get(f"videos/{VIDEO}").json()
    assert (found["frames"], found["width"], found["height"], len(found["scores"])) == (12, 80, 64, 12)
    assert [entry["frame"] for entry in found["corrections"]] == [3] and found["job"] is None


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("videos/damaged.mp4", 400, "damaged.mp4"),
        ("videos/nobody.mp4", 404, "there is no video 'nobody.mp4'"),
        (f"videos/{VIDEO}/frames/12", 404, "has the frames 0 to 11"),
        ("videos/..%2Fsecret.mp4", 404, ""),
    ],
)
def test_videos_that_cannot_be_shown(client, path, status, message):
    answer = client.get(path)
    assert answer.status_code == status and message in answer.json()["detail"]


def test_a_picture_of_a_frame(client, studies):
    path = f"videos/{VIDEO}/frames/3"
    answer = client.get(path, params={"width": 40})
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size, answer.headers["content-type"]) == ("JPEG", (40, 32), "image/jpeg")
    mark = answer.headers["etag"]
    assert client.get(path, headers={"If-None-Match": mark}).status_code == 304
    assert client.get(path, headers={"If-None-Match": '"another"'}).status_code == 200
    assert client.get(path, params={"width": 1}).status_code == 422
    (studies / VIDEO / "003.png").write_bytes(b"no image")
    answer = client.get(path)
    assert answer.status_code == 400 and "choose another frame" in answer.json()["detail"]


def test_a_video_is_marked_as_final_and_opened_again(client, services):
    job = services.jobs.submit(VIDEO, "annotate")
    busy = client.post(f"videos/{VIDEO}/final", json={"final": True})
    assert busy.status_code == 409 and "wait until it is done" in busy.json()["detail"]
    services.jobs.cancel(job.job)
    partly = client.post(f"videos/{VIDEO}/final", json={"final": True})
    assert partly.status_code == 409 and "12 of the 12 frames" in partly.json()["detail"]
    answer = client.post(f"videos/{VIDEO}/final", json={"final": True, "partial": True}).json()
    assert answer["final"] is True and services.jobs[answer["job"]].kind == "label"
    assert client.post(f"videos/{VIDEO}/final", json={"final": False}).json() == {
        "final": False,
        "job": None,
        "unreadable": 0,
    }
    assert [entry["action"] for entry in client.get(f"videos/{VIDEO}/history").json()] == ["final", "open again"]


def test_frames_have_their_own_pictures(client):
    pictures = [client.get(f"videos/{VIDEO}/frames/{frame}").content for frame in (0, 11)]
    first, last = (np.array(Image.open(io.BytesIO(picture)), float) for picture in pictures)
    assert np.abs(first - last).mean() > 0.5
