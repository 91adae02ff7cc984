"""What the app's tests share: its folder on the path, as in MONAI Label; a video and its store; the real server."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import phantom_clip
from tests.apps.lsinet_label.two_lesions import two

APP = Path(__file__).parents[3] / "apps" / "lsinet_label"
sys.path.insert(0, str(APP))

SIZE = (64, 80)


@pytest.fixture(scope="session")
def clip_files() -> dict[str, bytes]:
    """The frames of a phantom clip as PNG files, by name."""
    files = {}
    for index, (frame, _) in enumerate(phantom_clip(12, SIZE, seed=3)):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "PNG")
        files[f"{index:03d}.png"] = file.getvalue()
    return files


@pytest.fixture
def studies(clip_files: dict[str, bytes], tmp_path: Path) -> Path:
    """A folder with a video of 12 frames, ``p1_a.frames``."""
    folder = tmp_path / "videos" / "p1_a.frames"
    folder.mkdir(parents=True)
    for name, content in clip_files.items():
        (folder / name).write_bytes(content)
    return folder.parent


@pytest.fixture
def open_store(studies: Path):
    """Opens the store of the videos from the disk, as a server does when it starts."""
    from lib.store import VideoStore

    return lambda: VideoStore(studies / "labels" / "lsinet", lambda image_id: studies / image_id)


@pytest.fixture
def video(open_store):
    """The stored video ``p1_a.frames``."""
    return open_store()["p1_a.frames"]


@pytest.fixture
def make_app(studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes an app with keys of ``--conf``; its model file is not there, and no thread watches the folder."""
    from main import LSINetLabel
    from monailabel.config import settings

    for name in ("AUTO_UPDATE_SCORING", "SESSIONS", "DATASTORE_AUTO_RELOAD"):  # the app or this fixture changes them
        monkeypatch.setattr(settings, f"MONAI_LABEL_{name}", False)
    for module in (sys, threading):  # the app replaces them
        monkeypatch.setattr(module, "excepthook", module.excepthook)

    def make(**conf: str) -> LSINetLabel:
        return LSINetLabel(
            str(tmp_path), str(studies), {"checkpoint": str(tmp_path / "model.pt"), "device": "cpu", **conf}
        )

    return make


@pytest.fixture
def two_lesions(video) -> None:
    """Stores two lesions in frames 0 to 5 of the video, one of them corrected; frame 6 says no polyp."""
    video.begin_annotation()
    for frame in range(6):
        video.write_prediction("predicted", frame, two(), scores=0.9, uncertainty=0.1)
    video.end_annotation("model")
    video.save_correction(3, two(4), "ann")
    video.save_correction(6, np.zeros(SIZE, np.uint8), "bob")


@pytest.fixture(scope="session")
def small_network(make_small_network):
    """A small network with random weights, see ``make_small_network``, with a fast backbone."""
    return make_small_network("mobilenetv3_small_050")


@pytest.fixture(scope="session")
def drawn() -> Callable[..., np.ndarray]:
    """Makes a person's mask of one lesion."""

    def draw(lesion: int = 1) -> np.ndarray:
        labels = np.zeros(SIZE, np.uint8)
        labels[10:30, 20:40] = lesion
        return labels

    return draw


@pytest.fixture
def find_polyps(drawn: Callable[..., np.ndarray]) -> Callable[[Any], Any]:
    """Store a prediction of the model with lesion 1 in each of the 12 frames of a video; returns the video."""

    def find(video: Any) -> Any:
        video.begin_annotation()
        for frame in range(12):
            video.write_prediction("predicted", frame, drawn(1), scores=0.9, uncertainty=0.1)
        video.end_annotation("model")
        return video

    return find


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Lets one of the system's functions fail as on a full disk, until it is called with nothing."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        yield lambda name="": patch.setattr(os, name, fail) if name else patch.undo()


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """The process; killed and started again over the same folder of videos."""

    def __init__(
        self,
        studies: Path,
        environment: dict[str, str],
        conf: dict[str, Any],
        wait_until: Callable[[Callable[[], Any]], None],
        deadline: int,
    ) -> None:
        self.wait_until = wait_until
        self.deadline = deadline
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/lsinet/"
        self.studies = studies
        self.log = studies.parent / "server.log"
        self.command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(APP)]
        self.command += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(self.port)]
        for name, value in conf.items():
            self.command += ["--conf", name, str(value)]
        # MONAI Label calls `python`: let it be the one that runs this.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, **environment}

    def start(self) -> Server:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.wait_until(lambda: self.answers() or self.process.poll() is not None)
        if self.process.poll() is not None:
            pytest.fail(f"the server did not start:\n{self.log.read_text()[-3000:]}")
        return self

    def answers(self) -> bool:
        """Whether the server answers calls."""
        try:
            self.call("GET", "/lsinet/status")
        except OSError:
            return False
        return True

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query) -> Answer:
        """A dict or list goes as JSON, bytes as they are."""
        headers = dict(headers or {})
        if isinstance(body, dict | list):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        url = f"http://127.0.0.1:{self.port}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.deadline) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers)

    def upload(self, method: str, path: str, field: str, name: str, content: bytes, **query) -> Answer:
        """Send a file as a form does."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        return self.call(method, path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"}, **query)

    def wait(self, job: str) -> dict[str, Any]:
        """Wait until a job has ended; return it."""
        self.wait_until(lambda: self.get(f"jobs/{job}")["state"] not in ("queued", "running"))
        return self.get(f"jobs/{job}")

    def annotate(self, image: str) -> None:
        """Annotate a video, unless that has been done."""
        if self.call("GET", f"/lsinet/videos/{image}").json["without_mask"]:
            answer = self.call("POST", "/lsinet/jobs", {"image": image, "kind": "annotate"})
            assert answer.status == 202
            state = self.wait(answer.json["job"])
            assert state["state"] == "done", state

    def mask(self, image: str, frame: int) -> tuple[np.ndarray, str, str]:
        answer = self.call("GET", f"/lsinet/videos/{image}/frames/{frame}/mask")
        return np.array(Image.open(io.BytesIO(answer.body))), *(
            answer.headers[name] for name in ("X-Mask-Source", "X-Mask-Version")
        )

    def get(self, path: str) -> Any:
        """The answer of one of the app's own calls."""
        return self.call("GET", f"/lsinet/{path}").json

    def labels(self, image: str, frame: int) -> np.ndarray:
        return self.mask(image, frame)[0]

    def save_mask(self, image: str, frame: int, labels: np.ndarray) -> None:
        file = io.BytesIO()
        Image.fromarray(labels).save(file, "PNG")
        assert self.call("PUT", f"/lsinet/videos/{image}/frames/{frame}/mask", file.getvalue()).status == 200


@pytest.fixture(scope="module")
def start_server(
    request: pytest.FixtureRequest, wait_until: Callable[[Callable[[], Any]], None], deadline: int
) -> Iterator[Callable[..., Server]]:
    """Starts servers over folders of videos, with variables of the environment and keys of ``--conf``."""
    pytest.importorskip("monailabel", reason='needs monailabel: pip install "lsinet_monai[label]"')
    model = request.getfixturevalue("demo_model")  # trained here if it is missing, so not before the skip
    servers = []

    def start(studies: Path, environment: dict[str, str] | None = None, **conf: Any) -> Server:
        servers.append(Server(studies, environment or {}, {"checkpoint": model, **conf}, wait_until, deadline))
        return servers[-1].start()

    yield start
    for server in servers:
        server.kill()
