"""Runs of the handlers that write clips' results, on made-up pieces of clips and logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine

from lsinet_monai.data import Clip
from lsinet_monai.errors import InputError
from lsinet_monai.handlers import ClipResultsSaver, ClipStateSaver
from lsinet_monai.inferers import SequentialVideoInferer

CLIPS = [
    Clip("case1", image=["x/0.jpg", "x/1.jpg", "x/2.jpg"]),
    Clip("a/b", image=["y/7.png"]),
    Clip("video", video="z.mp4"),
]


def piece(clip_id: str, frame_index: int, frames: int, is_last: bool, **others: Any) -> dict[str, Any]:
    """A piece of a clip as :class:`lsinet_monai.data.ClipPieces` gives it, of grey frames."""
    content = {
        "frame": [torch.full((40, 50, 3), 90, dtype=torch.uint8)] * frames,
        "clip_id": [clip_id],
        "frame_index": [frame_index],
        "is_last": [is_last],
        "index": list(range(frame_index, frame_index + frames)),
        "seconds": [None] * frames,
        "frame_count": 3,
        "field": None,
        "is_cropped": False,
        "fps": None,
        "reading": None,
    }
    return content | others


def segment(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    """A logit of 1 everywhere, at a size other than the frames'; two clips have names of errors, which are raised."""
    errors = {"unreadable": InputError("unreadable"), "out of memory": RuntimeError("out of memory")}
    if error := errors.get(batch["clip_id"][0]):
        raise error
    return {"pred": torch.ones(1, 1, len(batch["frame"]), 64, 64)}


class RecordingInferer(SequentialVideoInferer):
    """Its state is the clip's name."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = 0
        self.loaded: list[tuple[str, Any]] = []

    def save_clip(self, clip_id: str) -> dict[str, Any]:
        self.saved += 1
        return {"clip": clip_id}

    def load_clip(self, clip_id: str, saved: Any) -> None:
        self.loaded.append((clip_id, saved))


def run(
    folder: Path,
    *pieces: dict[str, Any],
    save_frames: int = 100,
    settings: dict[str, Any] | None = None,
    clips: list[Clip] = CLIPS,
) -> RecordingInferer:
    engine = Engine(segment)
    engine.state.device = torch.device("cpu")
    results, inferer = ClipResultsSaver(clips, folder, settings=settings), RecordingInferer()
    results.attach(engine)
    ClipStateSaver(results, inferer, save_frames).attach(engine)
    engine.run(pieces)
    return inferer
