from __future__ import annotations

import base64
import io

import numpy as np
import pytest
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
