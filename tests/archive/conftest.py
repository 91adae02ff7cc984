"""Small videos and settings of an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lsinet_monai.archive.segmenter import Settings
from lsinet_monai.archive.videos import ArchiveVideo

SIZE = (64, 80)


@pytest.fixture(scope="session")
def make_video(recipe: ModuleType) -> Callable[[Path, int, int], ArchiveVideo]:
    """Write a video of the phantom, losslessly: to a path, with a number of frames and a seed."""
    from lsinet_monai.data import phantom_clip

    def make(path: Path, frames: int = 6, seed: int = 0) -> ArchiveVideo:
        path.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_video(path, [frame for frame, _ in phantom_clip(frames, SIZE, seed=seed)])
        return ArchiveVideo(path.name, str(path), path.stat().st_size)

    return make


@pytest.fixture(scope="session")
def settings(model_file: Path) -> Settings:
    """A threshold below which a network without training puts some pixels, and not all."""
    return Settings(str(model_file), threshold=0.5)


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """The content of each file below a folder, without what only an archive has."""

    def read(folder: Path) -> dict[str, bytes]:
        own = {"result.json", "thumbnail.jpg"}
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name not in own
        }

    return read


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a server on this machine that speaks S3."""
    server_of = pytest.importorskip("moto.server", reason='moto is missing: pip install ".[dev]"')
    s3fs = pytest.importorskip("s3fs", reason='s3fs is missing: pip install ".[dev]"')
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        name = f"archive-{port}"  # moto keeps its buckets as long as the process lives
        s3fs.S3FileSystem().mkdir(name)
        yield name
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
