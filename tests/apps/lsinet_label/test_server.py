"""The real server process on this machine over HTTP, with phantom videos and the demo's model."""

from __future__ import annotations

import base64
import http.client
import http.server
import io
import itertools
import json
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import phantom_clip

APP = Path(__file__).parents[3] / "apps" / "lsinet_label"
SIZE = (96, 128)
VIDEOS = {"p01_a.mp4": (20, 1), "p01_b.mp4": (14, 2), "p02_a.mp4": (16, 3)}  # name: frames, clip

pytestmark = [pytest.mark.slow, pytest.mark.required_in_ci]


def png(labels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(labels).save(file, "PNG")
    return file.getvalue()


def mp4(frames: int, clip: int) -> bytes:
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for frame, _ in phantom_clip(frames, SIZE, seed=5, clip=clip):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def drawn() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[20:70, 30:90] = 3
    return labels


@pytest.fixture(scope="module")
def server(start_server, tmp_path_factory):
    """Serves three videos, and one that is damaged."""
    folder = tmp_path_factory.mktemp("label")
    (folder / "videos").mkdir()
    for name, (frames, clip) in VIDEOS.items():
        (folder / "videos" / name).write_bytes(mp4(frames, clip))
    (folder / "videos" / "damaged.avi").write_bytes(b"RIFF" + bytes(400))
    (folder / "secret.mp4").write_bytes(mp4(2, 9))
    return start_server(folder / "videos", max_upload_gb=0.001)


def test_videos_are_listed_and_a_seek_is_exact(server):
    listed = {video["id"]: video for video in server.call("GET", "/lsinet/videos").json}
    assert listed.keys() == {*VIDEOS, "damaged.avi"}
    details = server.call("GET", "/lsinet/videos/p01_a.mp4").json
    assert (details["frames"], details["height"], details["width"]) == (20, *SIZE)
    truth = [frame for frame, _ in phantom_clip(20, SIZE, seed=5, clip=1)]
    for index in (17, 3):
        answer = server.call("GET", f"/lsinet/videos/p01_a.mp4/frames/{index}")
        picture = np.array(Image.open(io.BytesIO(answer.body)).convert("RGB"), float)
        assert np.argmin([np.abs(picture - frame).mean() for frame in truth]) == index
    assert b"<html" in server.call("GET", "/lsinet/").body
    assert server.call("GET", "/info/").json["model"]["available"] is True


def test_from_the_first_mask_to_a_restart(server):
    server.annotate("p01_a.mp4")
    before = [server.mask("p01_a.mp4", frame)[0] for frame in range(20)]
    path = "/lsinet/videos/p01_a.mp4/frames/10/mask"
    saved = server.call("PUT", path, png(drawn()), {"If-Match": "0"}, propagate="true")
    assert saved.status == 200 and saved.json["version"] == 1
    late = server.call("PUT", path, png(drawn()), {"If-Match": "0"})
    assert late.status == 409 and late.json["version"] == 1
    job = server.wait(saved.json["job"])
    assert job["state"] == "done" and job["changed"]
    changed = {entry["frame"] for entry in job["changed"]}
    after = [server.mask("p01_a.mp4", frame)[0] for frame in range(20)]
    assert changed == {f for f in range(20) if f != 10 and ((before[f] > 0) != (after[f] > 0)).any()}
    assert (after[10] == drawn()).all()

    exported = server.call("GET", "/lsinet/videos/p01_a.mp4/export", format="cvat")
    assert exported.status == 200 and exported.headers["Content-Disposition"].endswith('"p01_a.mp4.xml"')
    unchanged = server.call("POST", "/lsinet/videos/p01_a.mp4/import", exported.body, format="cvat")
    assert (unchanged.json["corrected"], unchanged.json["job"]) == ([], None)

    running = server.call("POST", "/lsinet/jobs", {"image": "p01_b.mp4", "kind": "annotate"}).json["job"]
    server.kill()
    server.start()
    assert all((server.mask("p01_a.mp4", f)[0] == after[f]).all() for f in range(20))
    assert server.mask("p01_a.mp4", 10)[1:] == ("corrected", "1")
    correction = server.call("GET", "/lsinet/videos/p01_a.mp4").json["corrections"]
    assert [(entry["frame"], entry["empty"]) for entry in correction] == [(10, False)]
    assert server.wait(running)["state"] == "done"
    labels = server.call("GET", "/datastore/", output="all").json["objects"]
    assert {name: [*entry["labels"]] for name, entry in labels.items() if entry["labels"]} == {
        "p01_a.mp4": ["original"],
        "p01_b.mp4": ["original"],
    }


@pytest.mark.parametrize("name", ["../secret.mp4", "{studies}/../secret.mp4", "/etc/passwd", "nobody.mp4", "labels"])
def test_only_videos_are_read(server, name):
    name = name.format(studies=server.studies)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    params = urllib.parse.urlencode({"params": json.dumps({"image": name})}).encode()
    ours = f"/lsinet/videos/{urllib.parse.quote(name, safe='')}"
    files = {path: path.read_bytes() for path in server.studies.parent.iterdir() if path.suffix == ".mp4"}
    answers = [
        server.call("POST", "/infer/lsinet", image=name),
        server.call("POST", "/infer/lsinet", params, form, image="p01_a.mp4"),
        server.call("POST", "/infer/wsi/lsinet", {}, image=name),
        server.call("GET", "/datastore/image", image=name),
        server.call("GET", "/datastore/image/info", image=name),
        server.call("GET", "/datastore/label", label=name, tag="original"),
        server.call("DELETE", "/datastore/image", id=name),
        server.upload("PUT", "/datastore/label", "label", "x.json", b"{}", image=name),
        server.call("POST", "/lsinet/jobs", {"image": name, "kind": "annotate"}),
        server.call("HEAD", "/datastore/image", image=name),
        server.call("HEAD", "/datastore/label", image=name, tag="final"),
        server.call("PUT", "/datastore/image/info", b"info={}", form, image=name),
        server.call("GET", "/datastore/label/info", label=name, tag="final"),
        server.call("PUT", "/datastore/label/info", b"info={}", form, label=name, tag="final"),
        server.call("DELETE", "/datastore/label", id=name, tag="final"),
        *(server.call("GET", f"{ours}{end}") for end in ("", "/frames/0", "/frames/0/mask", "/history")),
        server.call("GET", f"{ours}/export", format="png"),
        server.call("POST", f"{ours}/import", b"", format="cvat"),
        server.call("PUT", f"{ours}/frames/0/mask", png(drawn())),
        server.call("POST", f"{ours}/final", {"final": True}),
        server.call("PUT", f"{ours}/lesions", []),
    ]
    assert {answer.status for answer in answers} <= {400, 404, 405}
    assert all(path.read_bytes() == content for path, content in files.items()) and len(answers) == 24
    assert not any(b"root:" in answer.body or b"ftyp" in answer.body for answer in answers)


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("new.mp4", b"no video", 400, "new.mp4"),
        ("new.txt", b"no video", 400, "cannot be the name of a video"),
        ("..mp4", b"no video", 400, "cannot be the name of a video"),
        ("p01_a.mp4", None, 409, "is there already"),
        ("huge.mp4", bytes(2**21), 413, "is larger than"),
    ],
)
def test_uploads_that_are_refused(server, name, content, status, said):
    before = sorted(path.name for path in server.studies.iterdir())
    content = mp4(2, 8) if content is None else content
    answer = server.upload("PUT", "/datastore/image", "file", name, content)
    assert (answer.status, said in answer.json["detail"]) == (status, True), answer
    assert sorted(path.name for path in server.studies.iterdir()) == before


def test_an_uploaded_video_is_served_and_removed_with_its_store(server):
    assert server.upload("PUT", "/datastore/image", "file", "p09_new.mp4", mp4(3, 8)).status == 200
    assert server.call("GET", "/lsinet/videos/p09_new.mp4").json["frames"] == 3
    assert server.call("PUT", "/lsinet/videos/p09_new.mp4/frames/1/mask", png(drawn())).status == 200
    assert server.call("DELETE", "/datastore/image", id="p09_new.mp4").status == 200
    assert server.call("GET", "/lsinet/videos/p09_new.mp4").status == 404
    assert not (server.studies / "labels" / "lsinet" / "p09_new.mp4").exists()


def test_a_damaged_video_fails_alone(server):
    answer = server.call("POST", "/lsinet/jobs", {"image": "damaged.avi", "kind": "annotate"})
    assert answer.status == 400 and "damaged.avi" in answer.json["detail"]
    listed = {video["id"]: video for video in server.call("GET", "/lsinet/videos").json}
    assert listed["damaged.avi"]["state"] == "failed" and listed["damaged.avi"]["error"]
    server.annotate("p01_b.mp4")


def test_inference_as_in_monai_label(server):
    server.annotate("p01_a.mp4")
    stored = server.call("POST", "/infer/lsinet", image="p01_a.mp4", output="image")
    assert stored.status == 200 and len(json.loads(stored.body)["images"]) == 20
    assert (server.studies / "labels" / "original" / "p01_a.mp4.json").is_file()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    hurry = urllib.parse.urlencode({"params": json.dumps({"timeout": 0.01})}).encode()
    asked = server.call("POST", "/infer/lsinet", hurry, form, image="p02_a.mp4")
    assert asked.status == 200 and server.wait(asked.json["job"])["state"] == "done"


def test_others_are_answered_while_one_waits(server):
    server.call("DELETE", "/datastore/image", id="p08.mp4")
    assert server.upload("PUT", "/datastore/image", "file", "p08.mp4", mp4(40, 7)).status == 200
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(server.call("POST", "/infer/lsinet", image="p08.mp4")))
    waiting.start()
    # The client waits for this job, and the server answers what its state is.
    states = set()
    while waiting.is_alive():
        states |= {job["state"] for job in server.get("jobs") if job["image"] == "p08.mp4"}
    waiting.join()
    assert answers[0].status == 200 and states & {"queued", "running"}
    server.call("DELETE", "/datastore/image", id="p08.mp4")


def test_a_label_saved_by_another_client_spreads(server):
    server.annotate("p01_b.mp4")
    exported = server.call("GET", "/lsinet/videos/p01_b.mp4/export", format="coco")
    content = exported.json
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] != 5]
    before = (server.mask("p01_b.mp4", 4)[0] > 0).any()
    label = json.dumps(content).encode()
    answer = server.upload("PUT", "/datastore/label", "label", "p01_b.json", label, image="p01_b.mp4")
    assert answer.status == 200 and answer.json["corrected"] == ([4] if before else [])
    if before:
        assert server.wait(answer.json["job"])["state"] == "done"
        assert server.mask("p01_b.mp4", 4)[1] == "corrected" and not server.mask("p01_b.mp4", 4)[0].any()
    bad = server.upload("PUT", "/datastore/label", "label", "p01_b.json", b"{}", image="p01_b.mp4")
    assert bad.status == 400
    outside = server.upload("PUT", "/datastore/label", "label", "x.json", label, image="p01_b.mp4", tag="../../x")
    assert outside.status == 400 and not (server.studies.parent / "x").exists()


def test_the_models_own_label_is_written_by_the_model_alone(server):
    server.annotate("p01_b.mp4")
    label = server.studies / "labels" / "original" / "p01_b.mp4.json"
    before = label.read_bytes()
    answer = server.upload("PUT", "/datastore/label", "label", "x.json", b"{}", image="p01_b.mp4", tag="original")
    assert answer.status == 400 and "tag='original'" in answer.json["detail"]
    assert label.read_bytes() == before


def test_a_final_video_becomes_the_final_label(server):
    server.annotate("p01_b.mp4")
    labels = server.studies / "labels"
    before = (labels / "original" / "p01_b.mp4.json").read_bytes()
    mask = "/lsinet/videos/p01_b.mp4/frames/7/mask"
    server.wait(server.call("PUT", mask, png(drawn()), propagate="true").json["job"])
    job = server.call("POST", "/lsinet/videos/p01_b.mp4/final", {"final": True}).json["job"]
    assert server.wait(job)["state"] == "done"
    final = json.loads((labels / "final" / "p01_b.mp4.json").read_text())
    people = [entry["attributes"]["corrected_by"] for entry in final["annotations"] if entry["image_id"] == 8]
    assert people == ["admin"] and len(final["images"]) == 14
    assert (labels / "original" / "p01_b.mp4.json").read_bytes() == before
    assert json.loads(server.call("POST", "/infer/lsinet", image="p01_b.mp4", output="image").body) == final
    assert server.call("PUT", mask, png(drawn())).status == 409
    server.call("POST", "/lsinet/videos/p01_b.mp4/final", {"final": False})
    assert not (labels / "final" / "p01_b.mp4.json").exists()


def test_a_correction_is_taken_back_with_its_effects(server):
    server.annotate("p01_b.mp4")
    server.call("DELETE", "/lsinet/videos/p01_b.mp4/frames/7/mask")
    server.wait(server.call("POST", "/lsinet/jobs", {"image": "p01_b.mp4", "kind": "annotate"}).json["job"])
    before = [server.labels("p01_b.mp4", frame) for frame in range(14)]
    mask = "/lsinet/videos/p01_b.mp4/frames/7/mask"
    for has_spread in (True, False):
        spreads = server.call("PUT", mask, png(drawn()), propagate="true").json["job"]
        if has_spread:
            assert server.wait(spreads)["changed"]
        taken = server.call("DELETE", mask)
        assert taken.status == 200 and server.wait(taken.json["job"])["state"] == "done"
        assert all((server.labels("p01_b.mp4", frame) == before[frame]).all() for frame in range(14))


def test_a_video_is_not_annotated_twice_at_once(server):
    server.upload("PUT", "/datastore/image", "file", "p07.mp4", mp4(40, 7))
    asked = [server.call("POST", "/lsinet/jobs", {"image": "p07.mp4", "kind": "annotate"}).json["job"] for _ in "ab"]
    server.wait_until(lambda: server.get(f"jobs/{asked[0]}")["state"] != "queued")
    asked.append(server.call("POST", "/lsinet/jobs", {"image": "p07.mp4", "kind": "annotate"}).json["job"])
    assert len(set(asked)) == 1
    # A video that is removed during its job leaves nothing behind.
    assert server.call("DELETE", "/datastore/image", id="p07.mp4").status == 200
    job = server.get(f"jobs/{asked[0]}")
    assert job["state"] == "cancelled", job
    assert not (server.studies / "labels" / "lsinet" / "p07.mp4").exists()


@pytest.mark.parametrize("timeout", ["soon", [1]])
def test_a_timeout_is_a_number(server, timeout):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urllib.parse.urlencode({"params": json.dumps({"timeout": timeout})}).encode()
    server.upload("PUT", "/datastore/image", "file", "p06.mp4", mp4(2, 7))
    answer = server.call("POST", "/infer/lsinet", body, form, image="p06.mp4")
    server.call("DELETE", "/datastore/image", id="p06.mp4")
    assert answer.status == 400 and "timeout=" in answer.json["detail"]


def test_a_video_that_is_still_being_copied_is_looked_at_again(server):
    content, path = mp4(6, 7), server.studies / "p05.mp4"
    path.write_bytes(content[: len(content) // 2])

    def listed():
        return next((video for video in server.get("videos") if video["id"] == "p05.mp4"), {})

    for part, state in ((0, "failed"), (1, "new")):
        if part:
            path.write_bytes(content)
        server.wait_until(lambda state=state: listed().get("state") == state)
    assert listed()["frames"] == 6
    server.call("DELETE", "/datastore/image", id="p05.mp4")


def test_a_browser_asks_whether_a_picture_is_still_the_same(server):
    path = "/lsinet/videos/p01_a.mp4/frames/3"
    mark = server.call("GET", path).headers["ETag"]
    assert server.call("GET", path, headers={"If-None-Match": mark}).status == 304
    assert server.call("GET", path, headers={"If-None-Match": '"another"'}).status == 200


def test_a_killed_server_keeps_every_save_that_it_answered(server):
    saved, stop = {}, threading.Event()

    def save(lesion):
        for number in itertools.count():
            frame = (4 * number + lesion) % 20
            labels = np.full(SIZE, lesion, np.uint8)
            try:
                answer = server.call("PUT", f"/lsinet/videos/p01_a.mp4/frames/{frame}/mask", png(labels))
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                saved[frame] = max(saved.get(frame, (0, 0)), (answer.json["version"], lesion))
            if stop.is_set():
                return

    people = [threading.Thread(target=save, args=[lesion]) for lesion in range(1, 5)]
    for person in people:
        person.start()
    server.wait_until(lambda: len(saved) >= 12)
    server.kill()
    stop.set()
    for person in people:
        person.join()
    server.start()
    for frame, (version, lesion) in saved.items():
        labels, source, now = server.mask("p01_a.mp4", frame)
        # A save that was not answered may be there too, whole.
        assert source == "corrected" and int(now) in (version, version + 1) and len(np.unique(labels)) == 1
        assert int(now) > version or (labels == lesion).all()
        server.call("DELETE", f"/lsinet/videos/p01_a.mp4/frames/{frame}/mask")


def test_the_most_doubtful_frame(server):
    server.annotate("p01_a.mp4")
    for answer in (server.call("GET", "/lsinet/next"), server.call("POST", "/activelearning/disagreement", {})):
        assert answer.status == 200 and answer.json["id"] in VIDEOS and isinstance(answer.json["frame"], int)
    assert server.call("GET", "/lsinet/next", strategy="luck").status == 400


def test_a_server_that_cannot_work_says_why_in_one_line(server, start_server, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "labels").touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        other_port = str(free.getsockname()[1])
    ours, theirs = (str(server.studies), str(server.port)), (str(tmp_path / "videos"), other_port)
    cases = [
        ((ours[0], theirs[1]), f"another process serves the videos in studies folder '{ours[0]}': use that server"),
        (ours, f"port {server.port} of 127.0.0.1 cannot be used (Address already in use)"),
        (theirs, f"studies folder '{theirs[0]}': '{theirs[0]}/labels/lsinet' cannot be written to"),
    ]
    processes = [
        subprocess.Popen(
            [{ours[0]: studies, ours[1]: port}.get(word, word) for word in server.command],
            env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for (studies, port), _ in cases
    ]  # fmt: skip
    for process, (_, said) in zip(processes, cases, strict=True):
        log, _ = process.communicate(timeout=server.deadline)
        assert process.returncode != 0 and "Traceback" not in log, log
        assert [line.partition(" - error: ")[2][: len(said)] for line in log.splitlines() if "error: " in line] == [
            said
        ]
    assert server.answers()


def test_no_answer_names_the_servers_folders(server):
    server.annotate("p01_a.mp4")
    answers = [
        server.call("GET", "/datastore/", output="train"),
        server.call("GET", "/datastore/image/info", image="p01_a.mp4"),
        server.call("POST", "/activelearning/doubt", {}),
        server.call("GET", "/info/"),
        server.call("GET", "/logs/", text="true"),
        server.upload("POST", "/infer/lsinet", "file", "new.mp4", b"no video"),
        server.upload("PUT", "/datastore/image", "file", "new.mp4", b"no video"),
        server.call("POST", "/train/other", {}),
    ]
    folders = [str(server.studies.parent).encode(), tempfile.gettempdir().encode(), str(APP).encode()]
    assert not [answer for answer in answers if any(folder in answer.body for folder in folders)]
    assert [answer.status for answer in answers] == [200] * 5 + [400] * 3
    assert [*(server.studies / "labels" / "lsinet" / ".scratch").iterdir()] == []


def test_a_training_that_is_stopped_or_fails_leaves_nothing(server):
    scratch = server.studies / "labels" / "lsinet" / ".scratch"
    server.call("PUT", "/lsinet/videos/p02_a.mp4/frames/2/mask", png(drawn()))
    assert server.call("POST", "/train/lsinet", {"max_epochs": -1}).status == 400
    assert server.call("POST", "/train/lsinet", {"device": "cuda:99"}).status == 200
    server.wait_until(lambda: server.call("GET", "/train/").json["status"] == "ERROR")
    details = server.call("GET", "/train/").json["details"]
    assert "cuda:99" in details[-1] and not any("Traceback" in line for line in details), details
    assert server.call("POST", "/train/lsinet", {"max_epochs": 500}).status == 200
    server.wait_until(lambda: [*scratch.glob("*/data")])
    assert server.call("DELETE", "/train/").status == 200
    server.wait_until(lambda: not [*scratch.iterdir()])


def test_other_sites_may_not_call(server):
    here, there = f"127.0.0.1:{server.port}", f"elsewhere.example:{server.port}"
    for origin, host, status in ((here, here, 200), (there, here, 403), (there, there, 403)):
        headers = {"Origin": f"http://{origin}", "Host": host}
        assert server.call("GET", "/lsinet/videos", headers=headers).status == status


@pytest.mark.parametrize("path", ["/session/x", "/proxy/dicom/wado/x"])
def test_calls_that_the_app_does_not_have_are_refused(server, path):
    assert server.call("GET", path).status == 400


def test_fine_tuning_puts_a_new_model_in_service(server):
    for name in ("p01_a.mp4", "p02_a.mp4"):
        server.annotate(name)
        assert server.call("PUT", f"/lsinet/videos/{name}/frames/2/mask", png(drawn())).status == 200
    assert server.call("POST", "/train/lsinet", {"max_epochs": 1, "batch_size": 2}).status == 200
    # Jobs take turns with the training, and do not wait for its end.
    job = server.call("POST", "/lsinet/jobs", {"image": "p01_b.mp4", "kind": "annotate"}).json["job"]
    assert server.wait(job)["state"] == "done"
    server.wait_until(lambda: server.call("GET", "/train/").json["status"] not in ("SUBMITTED", "RUNNING"))
    task = server.call("GET", "/train/").json
    assert task["status"] == "DONE", task["details"]
    status = server.call("GET", "/lsinet/status").json["model"]["path"]
    stats = server.call("GET", "/info/").json["train_stats"]["lsinet"]
    assert status == stats["model"] != stats["start"]
    # Whole patients are held out.
    patients = [{name.partition("_")[0] for name in stats[kind]} for kind in ("videos", "validation_videos")]
    assert len(patients[1]) == 1 and patients[0] == {"p01", "p02"}
    job = server.call("POST", "/lsinet/jobs", {"image": "p02_a.mp4", "kind": "annotate"}).json["job"]
    assert server.wait(job)["state"] == "done"
    record = json.loads((server.studies / "labels" / "lsinet" / "p02_a.mp4" / "video.json").read_text())
    assert record["annotated"]["model"].startswith(stats["model"])


@pytest.fixture
def realm():
    """A sign-in server: its address, and a function that signs a token for a user and a role."""
    jwt = pytest.importorskip("jwt")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"public_key": base64.b64encode(public).decode()}).encode())

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()

    def token(user: str, role: str, signed_by: Any = key) -> dict[str, str]:
        claims = {"preferred_username": user, "realm_access": {"roles": [role]}}
        return {"Authorization": "Bearer " + jwt.encode(claims, signed_by, algorithm="RS256")}

    yield f"http://127.0.0.1:{served.server_port}", token
    served.shutdown()


def test_people_who_sign_in_see_and_correct_by_their_roles(start_server, tmp_path, realm):
    address, token = realm
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(mp4(2, 1))
    environment = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": address}
    from cryptography.hazmat.primitives.asymmetric import rsa

    stranger = token("ann", "monailabel-annotator", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    reader, annotator = token("bob", "monailabel-user"), token("ann", "monailabel-annotator")
    seen = ["/lsinet/videos", "/lsinet/videos/a.mp4/frames/0", "/datastore/", "/lsinet/jobs"]
    mask = "/lsinet/videos/a.mp4/frames/0/mask"
    server = start_server(tmp_path / "videos", environment)
    status = server.call("GET", "/lsinet/status").json
    assert (status["auth"], status["user"]) == (True, None) and server.call("GET", "/lsinet/").status == 200
    for headers in ({}, {"Authorization": "Bearer x.y.z"}, stranger):
        assert {server.call("GET", path, headers=headers).status for path in seen} == {401}
        assert server.call("PUT", mask, png(drawn()), headers).status == 401
    assert {server.call("GET", path, headers=reader).status for path in seen} == {200}
    assert server.call("PUT", mask, png(drawn()), reader).status == 403
    assert server.call("PUT", mask, png(drawn()), annotator).json["user"] == "ann"
    assert server.call("GET", "/lsinet/status", headers=annotator).json["user"] == "ann"
