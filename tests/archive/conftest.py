"""Small videos and settings of an archive."""

from __future__ import annotations

from collections.abc import Callable
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
