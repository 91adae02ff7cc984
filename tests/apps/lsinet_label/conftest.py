"""The app's folder is on the path, as MONAI Label has it; a video, and what is stored of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from lsinet_monai.data import phantom_clip

sys.path.insert(0, str(Path(__file__).parents[3] / "apps" / "lsinet_label"))

SIZE = (64, 80)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A folder with a video of 12 frames, ``p1_a.frames``."""
    folder = tmp_path / "videos" / "p1_a.frames"
    folder.mkdir(parents=True)
    for index, (frame, _) in enumerate(phantom_clip(12, SIZE, seed=3)):
        Image.fromarray(frame).save(folder / f"{index:03d}.png")
    return folder.parent


@pytest.fixture
def open_store(studies: Path):
    """Opens the store of the videos, as a server that starts does."""
    from lib.store import VideoStore

    return lambda: VideoStore(studies / "labels" / "lsinet", lambda image_id: studies / image_id)
