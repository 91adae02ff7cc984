from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from lsinet_monai.data import Clip, ResumePoint
from lsinet_monai.errors import InputError
from lsinet_monai.handlers import ClipResultsSaver, ClipStateSaver, remaining_clips
from lsinet_monai.inferers import SequentialVideoInferer

CLIPS = [
    Clip("case1", image=["x/0.jpg", "x/1.jpg", "x/2.jpg"]),
    Clip("a/b", image=["y/7.png"]),
    Clip("video", video="z.mp4"),
]
LONG = [f"x/{index}.jpg" for index in range(9)]


def _piece(clip_id: str, frame_index: int, frames: int, is_last: bool, **others: Any) -> dict[str, Any]:
    piece = {
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
    return piece | others


def _segment(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    """A logit of 1 everywhere, at a size other than the frames'."""
    if batch["clip_id"] == ["out of memory"]:
        raise RuntimeError("out of memory")
    return {"pred": torch.ones(1, 1, len(batch["frame"]), 64, 64)}


class _Inferer(SequentialVideoInferer):
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


def _run(
    folder: Path,
    *pieces: dict[str, Any],
    save_frames: int = 100,
    settings: dict[str, Any] | None = None,
    clips: list[Clip] = CLIPS,
) -> _Inferer:
    engine = Engine(_segment)
    engine.state.device = torch.device("cpu")
    results, inferer = ClipResultsSaver(clips, folder, settings=settings), _Inferer()
    results.attach(engine)
    ClipStateSaver(results, inferer, save_frames).attach(engine)
    engine.run(pieces)
    return inferer


def test_what_remains_after_another_error(tmp_path: Path) -> None:
    pieces = [_piece("a/b", 0, 1, True), _piece("case1", 0, 2, False), _piece("out of memory", 0, 1, True)]
    with pytest.raises(RuntimeError, match="out of memory"):
        _run(tmp_path, *pieces, save_frames=1, settings={"adjacent": "next"})
    case1, _, video = CLIPS
    settings = {"adjacent": "next"}
    assert remaining_clips(CLIPS, tmp_path, True, settings) == [replace(case1, resume=ResumePoint(2, 2)), video]
    with pytest.raises(InputError, match=r"'case1' was begun with adjacent='next'.*'previous'.*--overwrite"):
        remaining_clips(CLIPS, tmp_path, True, {"adjacent": "previous"})
    with pytest.raises(InputError, match="'a/b' was begun with adjacent='next'"):
        remaining_clips(CLIPS[1:], tmp_path, True, {"adjacent": "previous"})
    assert remaining_clips(CLIPS, tmp_path, False, settings) == CLIPS
    assert remaining_clips(CLIPS, tmp_path, True, settings) == CLIPS


def test_a_clip_that_breaks_off_can_be_resumed(tmp_path: Path) -> None:
    pieces = _piece("case1", 0, 2, False), _piece("a/b", 0, 1, True), _piece("video", 0, 1, False)
    settings = {"adjacent": "next"}
    _run(tmp_path, *pieces, save_frames=1, settings=settings)
    remaining = remaining_clips(CLIPS, tmp_path, True, settings)
    assert {clip.clip_id: clip.resume for clip in remaining} == {
        "case1": ResumePoint(2, 2),
        "video": ResumePoint(1, 1),
    }


def test_another_clip_of_the_same_name_is_not_taken_for_the_one_that_is_done(tmp_path: Path) -> None:
    settings = {"threshold": 0.5}
    _run(tmp_path, _piece("a/b", 0, 1, True), settings=settings)
    assert remaining_clips(CLIPS[1:2], tmp_path, True, settings) == []
    other = Clip("a/b", image=["elsewhere/0.png", "elsewhere/1.png"])
    with pytest.raises(InputError, match="'a/b' was begun with source='1 frames', and this run has '2 frames'"):
        remaining_clips([other], tmp_path, True, settings)


# settings as an earlier version recorded them, and those of a run that resumes
OLD_SETTINGS = [
    ({"write_csv": False, "write_coco": False, "write_cvat": False, "write_stack": None}, []),
    ({"write_csv": True, "write_coco": False, "write_cvat": True, "write_stack": "nrrd"}, ["csv", "cvat", "nrrd"]),
]


@pytest.mark.parametrize(("old", "exports"), OLD_SETTINGS)
def test_a_run_of_an_earlier_version_is_resumed(tmp_path: Path, old: dict[str, Any], exports: list[str]) -> None:
    pieces = _piece("a/b", 0, 1, True), _piece("case1", 0, 2, False)
    _run(tmp_path, *pieces, save_frames=1, settings={"threshold": 0.5, **old})
    settings = {"threshold": 0.5, "exports": exports, "model_sha256": "0a1b"}
    (case1,) = remaining_clips(CLIPS[:2], tmp_path, True, settings)
    assert (case1.clip_id, case1.resume) == ("case1", ResumePoint(2, 2))
    for clip, name in zip(CLIPS, ("case1", "a/b"), strict=False):
        with pytest.raises(InputError, match=f"'{name}' was begun with exports="):
            remaining_clips([clip], tmp_path, True, {"threshold": 0.5, "exports": ["coco"]})


def test_a_run_of_another_model_under_the_same_name_is_not_resumed(tmp_path: Path) -> None:
    _run(tmp_path, _piece("case1", 0, 2, False), save_frames=1, settings={"model_sha256": "0a1b"})
    with pytest.raises(InputError, match="begun with model_sha256='0a1b', and this run has '2c3d'"):
        remaining_clips(CLIPS[:1], tmp_path, True, {"model_sha256": "2c3d"})


def test_the_inferer_gets_the_state_of_a_resumed_clip(tmp_path: Path) -> None:
    _run(tmp_path, _piece("case1", 0, 2, False), save_frames=1)
    inferer = _run(tmp_path, _piece("case1", 2, 1, True), _piece("a/b", 0, 1, True))
    assert inferer.loaded == [("case1", {"clip": "case1"})]
    summary = json.loads((tmp_path / "case1/summary.json").read_text())
    assert summary["counts"]["frames"] == 3


@pytest.mark.parametrize(("save_frames", "saved"), [(1, [2, 4, 6]), (3, [4]), (6, [6]), (7, [])])
def test_the_state_is_saved_every_so_many_frames(tmp_path: Path, save_frames: int, saved: list[int]) -> None:
    pieces = [_piece("case1", start, 2, False, frame_count=9) for start in (0, 2, 4)]
    inferer = _run(tmp_path, *pieces, save_frames=save_frames, clips=[Clip("case1", image=LONG)])
    assert inferer.saved == len(saved)
    state_file = tmp_path / "case1/.unfinished/state.pt"
    assert state_file.exists() == bool(saved)
    if saved:
        assert torch.load(state_file, weights_only=True)["frames"] == saved[-1]
