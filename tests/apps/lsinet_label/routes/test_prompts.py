from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from lib.errors import Conflict
from PIL import Image

from lsinet_monai.networks import save_model

FRAME = "videos/p1_a.frames/frames/3"
CLICK = {"points": [[40, 20]], "labels": [1]}


@pytest.fixture
def served(services, make_small_network, tmp_path):
    """A model with a prompt head is in service."""
    save_model(make_small_network("mobilenetv3_small_050", prompt_head=True), tmp_path / "model.pt", 64)


def mask_of(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png" and answer.headers["cache-control"] == "no-store"
    mask = np.array(Image.open(io.BytesIO(answer.content)))
    assert mask.shape == (64, 80) and set(np.unique(mask)) <= {0, 1}
    return mask


@pytest.mark.usefixtures("served")
def test_a_click_gives_a_mask_and_stores_nothing(client):
    assert client.post(f"{FRAME}/prepare").status_code == 204
    once = mask_of(client.post(f"{FRAME}/prompt", json=CLICK))
    assert (mask_of(client.post(f"{FRAME}/prompt", json=CLICK)) == once).all()
    assert client.get(f"{FRAME}/mask").headers["x-mask-source"] == "none"


@pytest.mark.usefixtures("served")
def test_a_mask_to_start_from(client, png):
    start = base64.b64encode(png(7)).decode()
    from_nothing = mask_of(client.post(f"{FRAME}/prompt", json=CLICK))
    assert (mask_of(client.post(f"{FRAME}/prompt", json=CLICK | {"mask": start})) != from_nothing).any()


@pytest.mark.usefixtures("served")
def test_a_box_without_points(client):
    mask_of(client.post(f"{FRAME}/prompt", json={"box": [10, 10, 60, 50]}))


@pytest.mark.parametrize(
    ("prompts", "status", "said"),
    [
        ({}, 400, "nothing to segment"),
        ({"points": [[400, 20]], "labels": [1]}, 400, "must lie in the frame"),
        ({"points": [[40, 20]], "labels": [5]}, 400, "labels must be 1"),
        (CLICK | {"mask": "no base64!"}, 400, "is not base64"),
        (CLICK | {"mask": "bm8gUE5H"}, 400, ""),
        ({"points": "no list"}, 422, ""),
        ({"points": [[1, 2]] * 101, "labels": [1] * 101}, 422, ""),
    ],
)
@pytest.mark.usefixtures("served")
def test_what_is_refused(client, prompts, status, said):
    answer = client.post(f"{FRAME}/prompt", json=prompts)
    assert answer.status_code == status and said in answer.text


@pytest.mark.usefixtures("served")
def test_no_such_frame(client):
    assert client.post("videos/p1_a.frames/frames/12/prompt", json=CLICK).status_code == 404
    assert client.post("videos/nothing/frames/0/prepare").status_code == 404


def test_a_model_without_a_prompt_head(client, small_network, tmp_path):
    save_model(small_network, tmp_path / "model.pt", 64)
    assert client.get("status").json()["model"]["points"] is False
    answer = client.post(f"{FRAME}/prompt", json=CLICK)
    assert answer.status_code == 400 and "no prompt head" in answer.json()["detail"]


@pytest.mark.usefixtures("served")
def test_the_status_says_whether_points_are_taken(client):
    assert client.get("status").json()["model"]["points"] is True


def test_without_a_model(client):
    assert client.get("status").json()["model"]["points"] is False
    answer = client.post(f"{FRAME}/prepare")
    assert answer.status_code == 400 and "no model" in answer.json()["detail"]


@pytest.fixture
def drawing(services, small_network, png, tmp_path):
    """A model without a prompt head is in service; a mask as the page sends it."""
    save_model(small_network, tmp_path / "model.pt", 64)
    return {"mask": base64.b64encode(png(7)).decode()}


def lines_of(answer) -> list[dict]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson" and answer.headers["cache-control"] == "no-store"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_spread_of_a_mask_comes_frame_by_frame_and_is_not_stored(client, services, drawing):
    stored = sorted(path for path in services.videos.folder.rglob("*") if path.is_file())
    *lines, last = lines_of(client.post(f"{FRAME}/spread", json=drawing))
    assert last == {"complete": True}
    assert [line["frame"] for line in lines] == [2, 4, 1, 5, 0, 6, 7, 8, 9, 10, 11]
    for line in lines:
        mask = np.array(Image.open(io.BytesIO(base64.b64decode(line["mask"]))))
        assert mask.shape == (64, 80) and mask.dtype == np.uint8
    video = client.get("videos/p1_a.frames").json()
    assert not video["corrections"] and not video["propagated"] and video["saves"] == 0
    assert client.get(f"{FRAME}/mask").headers["x-mask-source"] == "none"
    assert {path.name for path in services.videos.folder.rglob("*") if path.is_file()} <= {
        "video.json", *(path.name for path in stored),
    }  # fmt: skip


def test_the_spread_stays_within_the_given_frames_and_before_peoples_masks(client, png, drawing):
    assert client.put("videos/p1_a.frames/frames/6/mask", content=png()).status_code == 200
    frames = [line.get("frame") for line in lines_of(client.post(f"{FRAME}/spread", json=drawing))]
    assert frames == [2, 4, 1, 5, 0, None]
    within = {"first": 2, "last": 4}
    assert [line.get("frame") for line in lines_of(client.post(f"{FRAME}/spread", json=drawing | within))] == [
        2,
        4,
        None,
    ]


def test_a_spread_that_is_replaced_says_so(client, services, drawing, monkeypatch):
    def replaced(*_):
        yield from ()
        raise Conflict("a later preview of 'p1_a.frames' has replaced this one")

    monkeypatch.setattr(services.previews, "spread", replaced)
    (line,) = lines_of(client.post(f"{FRAME}/spread", json=drawing))
    assert line == {"detail": "a later preview of 'p1_a.frames' has replaced this one"}


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"mask": "no base64!"}, 400, "is not base64"),
        ({"mask": base64.b64encode(b"no PNG").decode()}, 400, "cannot be read as a PNG"),
        ({"mask": None}, 422, ""),
        ({"first": 4, "last": 6}, 400, "frame 3 is not in the frames 4 to 6"),
    ],
)
def test_what_cannot_spread(client, drawing, change, status, said):
    answer = client.post(f"{FRAME}/spread", json=drawing | change)
    assert answer.status_code == status and said in answer.text


def test_where_nothing_can_spread(client, drawing, tmp_path):
    assert client.post("videos/p1_a.frames/frames/12/spread", json=drawing).status_code == 404
    assert client.post("videos/nothing/frames/0/spread", json=drawing).status_code == 404
    final = {"final": True, "partial": True}
    assert client.post("videos/p1_a.frames/final", json=final).status_code == 200
    assert client.post(f"{FRAME}/spread", json=drawing).status_code == 409
    client.post("videos/p1_a.frames/final", json={"final": False})
    (tmp_path / "model.pt").unlink()
    answer = client.post(f"{FRAME}/spread", json=drawing)
    assert answer.status_code == 400 and "no model" in answer.json()["detail"]
