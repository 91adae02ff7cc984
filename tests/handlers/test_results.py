from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from lsinet_monai.handlers import WriteClipResults

CLIPS = [{"clip_id": "case1", "image": ["x/0.jpg", "x/1.jpg", "x/2.jpg"]}, {"clip_id": "a/b", "image": ["y/7.png"]}]
WHOLE_CLIP = {"masks/a/b/7.png", "maps/a/b/7.png", "overlays/a/b.gif", "a/b/summary.json"}


def _piece(clip_id: str, frame_index: int, frames: int, is_last: bool) -> dict[str, Any]:
    return {
        "frame": torch.full((1, frames, 40, 50, 3), 90, dtype=torch.uint8),
        "clip_id": [clip_id],
        "frame_index": torch.tensor([frame_index]),
        "is_last": torch.tensor([is_last]),
    }


def _segment(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    """A logit of 1 everywhere, at a size other than the frames'."""
    if batch["clip_id"] == ["unreadable"]:
        raise RuntimeError("unreadable")
    return {"pred": torch.ones(1, 1, batch["frame"].shape[1], 64, 64)}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _run(folder: Path, *pieces: dict[str, Any]) -> None:
    engine = Engine(_segment)
    WriteClipResults(CLIPS, folder, threshold=0.5).attach(engine)
    engine.run(pieces)


def test_clip_results(tmp_path: Path) -> None:
    _run(tmp_path, _piece("case1", 0, 2, False), _piece("case1", 2, 1, True), _piece("a/b", 0, 1, True))
    frames = {f"{kind}/case1/{i}.png" for kind in ("masks", "maps") for i in range(3)}
    assert _files(tmp_path) == WHOLE_CLIP | frames | {"overlays/case1.gif", "case1/summary.json"}
    values = np.array(Image.open(tmp_path / "maps/case1/2.png"))
    assert values.shape == (40, 50) and (values == 186).all()  # 255 / (1 + 1 / e) = 186.4
    assert (np.array(Image.open(tmp_path / "masks/case1/2.png")) == 255).all()
    assert json.loads((tmp_path / "case1/summary.json").read_text())["counts"]["frames"] == 3


def test_an_error_leaves_whole_files_and_is_raised(tmp_path: Path) -> None:
    pieces = [_piece("a/b", 0, 1, True), _piece("case1", 0, 2, False), _piece("unreadable", 0, 1, True)]
    with pytest.raises(RuntimeError, match="unreadable"):
        _run(tmp_path, *pieces)
    assert _files(tmp_path) == WHOLE_CLIP | {f"{kind}/case1/{i}.png" for kind in ("masks", "maps") for i in range(2)}
