"""The app's calls without a server process, on a folder with one video and one that is damaged."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("monailabel")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from lib.datastore import VideoDatastore
from lib.frame_images import FrameImages
from lib.model import ServedModel
from lib.prompted_frames import PromptedFrames
from lib.queue import JobQueue
from lib.routes import Services, add_routes
from lib.security import Guard
from lib.spread_previews import SpreadPreviews
from lib.store import VideoStore


@pytest.fixture
def services(studies: Path, tmp_path: Path) -> Services:
    """The parts of an app whose queue does not run; ``model.pt`` is not there yet."""
    (studies / "damaged.mp4").write_bytes(b"no video")
    jobs = JobQueue(tmp_path / "jobs", lambda job: iter(()))
    model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
    datastore = VideoDatastore(str(studies), False, nullcontext)
    videos = VideoStore(studies / "labels" / "lsinet", datastore.path)

    def on_final(video):
        return jobs.submit(video.id, "label") if video.info.is_final else None

    images = FrameImages()
    parts = datastore, videos, jobs, model, on_final, images
    return Services(*parts, PromptedFrames(images, model), SpreadPreviews(images, model))


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """The routes, which take a second to make; each test puts its own parts behind them."""
    app = FastAPI()
    add_routes(app, None, None)
    return app


@pytest.fixture
def client(app: FastAPI, services: Services) -> TestClient:
    """Calls the app from this machine; addresses are relative to ``/lsinet/``."""
    app.state.lsinet_guard, app.state.lsinet = Guard(services.datastore, 2**20, False), services
    return TestClient(app, base_url="http://127.0.0.1/lsinet/", client=("127.0.0.1", 50000), follow_redirects=False)


@pytest.fixture
def png(drawn):
    """Makes the PNG file of a person's mask."""
    from lib.store import encode_mask

    return lambda lesion=1: encode_mask(drawn(lesion))
