from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import zipfile
from collections import deque
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from lib.exports import write_masks
from lib.routes.monai_label import make_router
from lib.routes.services import include_first
from monailabel.config import settings
from monailabel.endpoints import datastore, infer
from PIL import Image

VIDEO = "p1_a.frames"


def test_calls_run_in_threads_with_the_same_parameters():
    router = make_router()
    paths = {(route.path, *sorted(route.methods)) for route in router.routes}
    for module in (datastore, infer):
        assert {(route.path, *sorted(route.methods)) for route in module.router.routes} <= paths
    assert not any(asyncio.iscoroutinefunction(route.endpoint) for route in router.routes)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/reload"), ("GET", "/session/x"), ("PUT", "/session/"), ("GET", "/proxy/dicom/x")]
)
def test_calls_that_the_app_does_not_have_are_refused(client, method, path):
    answer = client.request(method, f"http://127.0.0.1{path}")
    assert answer.status_code == 400 and answer.json()["detail"]


@pytest.mark.parametrize("path", ["/datastore/image", "/datastore/image/info", "/datastore/label"])
def test_calls_are_guarded(client, path):
    answer = client.get(f"http://127.0.0.1{path}", params={"image": "/etc/passwd", "tag": "final"})
    assert answer.status_code == 404 and "there is no video" in answer.json()["detail"]


def test_a_router_that_is_included_first_answers_first():
    app = FastAPI()
    app.add_api_route("/x", lambda: "before")
    router = APIRouter()
    router.add_api_route("/x", lambda: "after")
    include_first(app, router)
    assert TestClient(app).get("/x").json() == "after"


@pytest.fixture
def label_app(make_app, app, tmp_path, studies, monkeypatch):
    """The app behind MONAI Label's calls; its temporary files lie in ``tmp``."""
    label_app = make_app()
    monkeypatch.setattr(settings, "MONAI_LABEL_APP_DIR", str(tmp_path))
    monkeypatch.setattr(settings, "MONAI_LABEL_STUDIES", str(studies))
    monkeypatch.setattr("monailabel.interfaces.utils.app.apps", {f"{tmp_path}{studies}": label_app})
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    app.state.lsinet_guard, app.state.lsinet = label_app.services()
    return label_app


@pytest.fixture
def call(app, label_app):
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)).request


@pytest.fixture
def gif():
    file = io.BytesIO()
    Image.new("L", (32, 32)).save(file, "GIF", save_all=True, append_images=[Image.new("L", (32, 32), 200)])
    return file.getvalue()


def left(studies):
    """The files of calls that are still there."""
    return [*Path(tempfile.gettempdir()).iterdir(), *(studies / "labels" / "lsinet" / ".scratch").glob("*")]


BAD = b"patient's video"
REFUSED = [
    ("PUT", "/datastore/image", {}, {"file": ("new.mp4", BAD)}, 400, "new.mp4"),
    ("PUT", "/datastore/", {}, {"file": ("new.mp4", BAD)}, 400, "new.mp4"),
    ("PUT", "/datastore/image", {}, {"file": ("new.txt", BAD)}, 400, "cannot be the name of a video"),
    ("PUT", "/datastore/label", {"image": VIDEO}, {"label": ("x.json", BAD)}, 400, "cannot be read as COCO"),
    ("PUT", "/datastore/label", {"image": VIDEO}, {"label": ("x.txt", BAD)}, 400, "a label must be a file"),
    ("POST", "/infer/lsinet", {}, {"file": ("new.mp4", BAD)}, 400, "upload the video with PUT /datastore/image"),
    ("POST", "/infer/lsinet", {"image": VIDEO}, {"label": ("x.bin", BAD)}, 400, "inference takes no files"),
    ("POST", "/infer/wsi_v2/lsinet", {}, {"file": ("new.mp4", BAD)}, 400, "inference takes no files"),
    ("PUT", "/model/lsinet", {}, {"file": ("model.pt", BAD)}, 500, "NOT configured"),
]


@pytest.mark.parametrize(("method", "path", "query", "files", "status", "said"), REFUSED)
def test_a_refused_file_leaves_nothing(call, studies, method, path, query, files, status, said):
    answer = call(method, path, params=query, files=files)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.json()
    assert not left(studies) and str(studies.parent) not in answer.text
    assert {path.name for path in studies.iterdir() if not path.name.startswith(".")} == {
        VIDEO, "labels", "datastore_v2.json"
    }  # fmt: skip


def test_files_that_are_taken_and_sent_leave_nothing(call, label_app, studies, gif, drawn):
    assert call("PUT", "/datastore/image", files={"file": ("p2.gif", gif)}).json() == {"image": "p2.gif"}
    assert (studies / "p2.gif").read_bytes() == gif and "p2.gif" in label_app.datastore() and not left(studies)
    video = label_app.videos[VIDEO]
    video.save_correction(3, drawn(), "ann")
    write_masks(video, "coco", label := studies.parent / "theirs.json")
    video.take_back(3, "ann")
    answer = call("PUT", "/datastore/label", params={"image": VIDEO}, files={"label": ("x.json", label.read_bytes())})
    assert answer.json()["corrected"] == [3] and not left(studies)
    for output, kind, status in (("image", "application/json", 200), ("dicom_seg", "application/json", 500)):
        answer = call("POST", "/infer/lsinet", params={"image": VIDEO, "output": output})
        assert (answer.status_code, answer.headers["content-type"]) == (status, kind) and not left(studies)
    assert b'"annotations"' in call("POST", "/infer/lsinet", params={"image": VIDEO}).content and not left(studies)
    answer = call("GET", "/datastore/dataset")
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None and not left(studies)


def test_a_clients_label_is_imported_though_another_takes_its_place(call, label_app, studies, drawn, monkeypatch):
    video = label_app.videos[VIDEO]
    write_masks(video, "coco", empty := studies.parent / "empty.json")
    video.save_correction(3, drawn(), "ann")
    write_masks(video, "coco", label := studies.parent / "theirs.json")
    video.take_back(3, "ann")
    save = label_app.datastore().save_label

    def save_both(*arguments):
        save(*arguments)
        return save(VIDEO, str(empty), "final", {})

    monkeypatch.setattr(label_app.datastore(), "save_label", save_both)
    answer = call("PUT", "/datastore/label", params={"image": VIDEO}, files={"label": ("x.json", label.read_bytes())})
    assert answer.json()["corrected"] == [3]


def test_no_answer_names_the_servers_folders(call, label_app, studies, tmp_path, monkeypatch):
    label_app.datastore().save_label(VIDEO, str(_file(tmp_path / "x.json", "{}")), "final", {})
    details = deque([f'  File "{Path(sys.prefix)}/lib/x.py", line 3', f"error: {studies}/p1.mp4 is damaged"])
    task = {"id": "1", "status": "ERROR", "request": {"checkpoint": str(tmp_path / "model.pt")}, "details": details}
    tasks = {kind: [task] for kind in ("train", "batch_infer", "scoring")}
    monkeypatch.setattr("monailabel.utils.async_tasks.utils.background_tasks", tasks)
    (tmp_path / "logs").mkdir()
    _file(tmp_path / "logs" / "app.log", f"{studies}\n{tempfile.gettempdir()}/x.mp4\n")
    calls = [
        *(("GET", "/datastore/", {"output": output}) for output in ("stats", "all", "train")),
        ("GET", "/datastore/image/info", {"image": VIDEO}),
        ("GET", "/datastore/label/info", {"label": VIDEO, "tag": "final"}),
        ("GET", "/datastore/image", {"image": VIDEO}),
        *(("GET", path, {}) for path in ("/info/", "/train/", "/batch/infer", "/scoring/", "/model/info/lsinet")),
        ("GET", "/train/", {"all": True}),
        *(("GET", "/logs/", {"text": True, "lines": lines}) for lines in (300, 0)),
        ("POST", "/activelearning/doubt", {}),
        ("POST", "/infer/lsinet", {"image": f"{studies}/{VIDEO}"}),
        ("POST", "/infer/lsinet", {"image": VIDEO, "output": "json"}),
    ]
    for method, path, query in calls:
        answer = call(method, path, params=query)
        assert not any(str(folder) in answer.text for folder in (tmp_path, sys.prefix, Path.home())), (
            path,
            answer.text,
        )
        assert answer.status_code in (200, 404), (path, answer.text)
    assert call("GET", "/train/").json()["details"][1] == "error: p1.mp4 is damaged"


def _file(path, content):
    path.write_text(content)
    return path


STARTS = [
    ("/train/lsinet", {}, None),
    ("/batch/infer/lsinet", {}, None),
    ("/scoring/dice_of_corrections", {}, None),
    ("/train/other", {}, "model='other' is not known: choose from lsinet"),
    ("/train/lsinet", {"model": "other"}, "model='other' is not known: choose from lsinet"),
    ("/train/", {"model": "other"}, "model='other' is not known: choose from lsinet"),
    ("/train/other?run_sync=true", {}, "model='other' is not known: choose from lsinet"),
    ("/train/lsinet", {"model": "lsinet", "gpus": "all", "multi_gpu": True, "pretrained": True, "max_epochs": 2}, None),
    ("/train/lsinet?model=lsinet&enqueue=true", {"name": "x", "dataset": "SmartCacheDataset", "client_id": "1"}, None),
    ("/train/", {"lsinet": {"max_epochs": 2}, "local_rank": 0}, None),
    ("/train/lsinet", {"max_epochs": "abc"}, "max_epochs='abc' must be a whole number of 1 or more"),
    ("/train/lsinet", {"max_epochs": 0}, "max_epochs=0 must be a whole number of 1 or more"),
    ("/train/", {"lsinet": {"batch_size": 0}}, "batch_size=0 must be a whole number of 1 or more"),
    ("/train/lsinet", {"augment": 3}, "augment=3 is neither true nor false"),
    ("/train/lsinet", {"device": "gpu"}, "device='gpu' is not the name of a device: give cpu or cuda, or leave it out"),
    (
        "/train/lsinet",
        {"max_epoch": 2},
        "there is no option 'max_epoch' of a training: there are augment, batch_size, device, learning_rate, "
        "max_epochs, num_workers, seed, val_interval, validation_fraction",
    ),
    (
        "/train/?model=nosuch",
        {},
        "there is no option 'model' in the address of this call: there are params, run_sync; a task's name stands in "
        "the path, such as /train/lsinet, and its options in the body",
    ),
    (
        "/train/lsinet?max_epochs=0",
        {},
        "there is no option 'max_epochs' in the address of this call: there are enqueue, params, run_sync; a task's "
        "name stands in the path, such as /train/lsinet, and its options in the body",
    ),
    ("/batch/infer/other", {}, "model='other' is not known: choose from lsinet"),
    ("/scoring/other", {}, "method='other' is not known: choose from dice_of_corrections"),
]


@pytest.mark.parametrize(("path", "body", "said"), STARTS)
def test_a_task_that_is_not_known_is_refused_at_once(call, monkeypatch, path, body, said):
    started = []
    monkeypatch.setattr(
        "monailabel.utils.async_tasks.task.run_background_task",
        lambda request, method: started.append(method) or {"id": "1"},
    )
    answer = call("POST", path, json=body)
    if said is None:
        assert answer.status_code == 200 and len(started) == 1
    else:
        assert (answer.status_code, answer.json()["detail"], started) == (400, said, [])


def test_a_query_of_inference_that_would_be_dropped_is_refused(call):
    answer = call("POST", "/infer/lsinet", params={"image": VIDEO, "model": "nosuch"})
    assert answer.status_code == 400 and "no option 'model' in the address" in answer.json()["detail"]


def test_parameters_that_are_no_json(call):
    answer = call("POST", "/infer/lsinet", params={"image": VIDEO}, data={"params": "{no"})
    assert answer.status_code == 400 and "JSON" in answer.json()["detail"]
