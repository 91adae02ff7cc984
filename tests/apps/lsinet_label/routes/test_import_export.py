from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

VIDEO = "p1_a.frames"


@pytest.fixture
def corrected(services, drawn):
    video = services.videos[VIDEO]
    video.begin_annotation()
    video.end_annotation("model")
    video.save_correction(3, drawn(2), "ann")
    return video


@pytest.fixture
def found(services, find_polyps):
    """The network has found a polyp in all frames."""
    return find_polyps(services.videos[VIDEO])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix", "kind"),
    [("coco", ".json", "application/json"), ("cvat", ".xml", "application/xml"), ("png", ".zip", "application/zip")],
)
@pytest.mark.usefixtures("found")
def test_an_export_is_sent_and_leaves_nothing(client, services, name, suffix, kind):
    answer = client.get(f"videos/{VIDEO}/export", params={"format": name})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-disposition"].endswith(f'"{VIDEO}{suffix}"') and answer.content
    assert list((services.videos.folder / ".scratch").iterdir()) == [] and answer.headers["x-unreadable-frames"] == "0"


@pytest.mark.parametrize(("frames", "count"), [("0:3", 0), ("3:4", 1), ("2:99", 1)])
@pytest.mark.usefixtures("corrected")
def test_a_stretch_of_frames(client, frames, count):
    content = client.get(f"videos/{VIDEO}/export", params={"format": "coco", "frames": frames}).json()
    assert len(content["annotations"]) == count
    assert client.get(f"videos/{VIDEO}/export", params={"format": "coco", "frames": "a:b"}).status_code == 422


@pytest.mark.parametrize("frames", ["5:3", "3:3", "12:20"])
@pytest.mark.usefixtures("corrected")
def test_a_stretch_without_frames_is_refused(client, frames):
    answer = client.get(f"videos/{VIDEO}/export", params={"format": "coco", "frames": frames})
    assert answer.status_code == 400 and f"frames={frames} holds no frame" in answer.json()["detail"]


def test_a_video_that_is_partly_done_is_exported_on_demand(client, services, drawn):
    services.videos[VIDEO].save_correction(3, drawn(2), "ann")
    answer = client.get(f"videos/{VIDEO}/export", params={"format": "coco"})
    assert answer.status_code == 409 and "11 of the 12 frames" in answer.json()["detail"]
    assert client.get(f"videos/{VIDEO}/export", params={"format": "coco", "partial": True}).status_code == 200


def test_an_import_corrects_and_spreads(client, services, corrected):
    path = f"videos/{VIDEO}/import"
    content = client.get(f"videos/{VIDEO}/export", params={"format": "coco"}).content
    unchanged = client.post(path, content=content, params={"format": "coco"}).json()
    assert (unchanged["frames"], unchanged["corrected"], unchanged["job"]) == (0, [], None)
    corrected.save_correction(3, np.zeros(corrected.info.size, np.uint8), "ann")
    would = client.post(path, content=content, params={"format": "coco", "dry_run": True}).json()
    assert would["corrected"] == [3] and would["job"] is None and corrected.corrections[3].user == "ann"
    answer = client.post(path, content=content, params={"format": "coco"}).json()
    assert (answer["frames"], answer["corrected"]) == (1, [3]) and corrected.corrections[3].user == "admin"
    assert answer["summary"] == would["summary"] and answer["summary"][0] == "masks set: frame 3"
    job = services.jobs[answer["job"]]
    assert (job.kind, job.frame) == ("propagate", None)


def test_labels_are_asked_for(client, corrected):
    path = f"videos/{VIDEO}/import"
    content = client.get(f"videos/{VIDEO}/export", params={"format": "coco"}).content.replace(b'"polyp"', b'"adenoma"')
    corrected.take_back(3, "ann")
    answer = client.post(path, content=content, params={"format": "coco"})
    assert answer.status_code == 400 and answer.json()["labels"] == {"adenoma": 1} and not corrected.corrections
    assert "choose labels=NAME, from 'adenoma' (1)" in answer.json()["detail"]
    for labels in ("adenoma", '{"adenoma": "polyp"}', ["adenoma", "adenoma:polyp"]):
        would = client.post(path, content=content, params={"format": "coco", "labels": labels, "dry_run": True})
        assert would.json()["labels"] == {"adenoma": 1} and would.json()["corrected"] == [3]
    none = client.post(path, content=content, params={"format": "coco", "labels": '{"adenoma": null}'})
    assert none.json()["corrected"] == []  # nobody's mask is lost
    assert client.post(path, content=content, params={"format": "coco", "first_frame": 3}).status_code == 400


def test_values_of_masks_are_asked_for(client, corrected):
    path = f"videos/{VIDEO}/import"
    mask = np.zeros(corrected.info.size, np.uint8)
    mask[10:20, 10:20], mask[30:40, 30:40] = 1, 2
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 250, 50, 83, 0, 255, 0])
    image.save(picture := io.BytesIO(), "PNG")
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr("008.png", picture.getvalue())
    answer = client.post(path, content=content.getvalue(), params={"format": "png"})
    assert answer.status_code == 400 and corrected.corrections.keys() == {3}
    assert answer.json()["labels"] == {"rgb(0,0,0)": 1, "rgb(0,255,0)": 1, "rgb(250,50,83)": 1}
    labels = json.dumps({"rgb(0,0,0)": None, "rgb(0,255,0)": None, "rgb(250,50,83)": "polyp"})
    answer = client.post(path, content=content.getvalue(), params={"format": "png", "labels": labels})
    assert answer.json()["corrected"] == [8] and ((corrected.mask(8).labels > 0) == (mask == 1)).all()


def test_an_empty_file_is_a_question(client, corrected):
    content = json.dumps({"images": [{"id": 1, "file_name": "003.png"}], "categories": [], "annotations": []}).encode()
    answer = client.post(f"videos/{VIDEO}/import", content=content, params={"format": "coco"})
    assert answer.status_code == 400 and "empty=true" in answer.json()["detail"] and not corrected.corrections[3].empty
    answer = client.post(f"videos/{VIDEO}/import", content=content, params={"format": "coco", "empty": True})
    assert answer.json()["emptied"] == answer.json()["replaced"] == [3] and corrected.corrections[3].empty


@pytest.mark.parametrize("content", [b"", b"{}", json.dumps({"images": 3}).encode()])
def test_a_bad_file_changes_nothing(client, corrected, content):
    before = corrected.corrections
    answer = client.post(f"videos/{VIDEO}/import", content=content, params={"format": "coco"})
    assert answer.status_code == 400 and answer.json()["detail"].startswith(VIDEO) and corrected.corrections == before


@pytest.mark.parametrize(("method", "call"), [("GET", "export"), ("POST", "import")])
def test_an_unknown_format(client, method, call):
    answer = client.request(method, f"videos/{VIDEO}/{call}", params={"format": "gif"})
    assert answer.status_code == 400 and "format='gif' must be one of cvat" in answer.json()["detail"]
