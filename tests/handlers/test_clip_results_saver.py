from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from lsinet_monai.data import Clip, FieldOfView
from lsinet_monai.errors import InputError
from lsinet_monai.handlers import ClipResultsSaver
from lsinet_monai.inferers import EMPTY_LOGIT, SequentialVideoInferer
from lsinet_monai.writers import Outputs
from lsinet_monai.writers.fetched_maps import _Copies
from tests.clip_runs import CLIPS, piece, segment

WHOLE_CLIP = {"masks/a/b/7.png", "maps/a/b/7.png", "overlays/a/b.mp4", "a/b/summary.json"}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _run(folder: Path, *pieces: dict[str, Any], **options: Any) -> None:
    engine = Engine(segment)
    ClipResultsSaver(CLIPS, folder, **options).attach(engine)
    engine.run(pieces)


def test_clip_results(tmp_path: Path) -> None:
    _run(tmp_path, piece("case1", 0, 2, False), piece("case1", 2, 1, True), piece("a/b", 0, 1, True))
    frames = {f"{kind}/case1/{i}.png" for kind in ("masks", "maps") for i in range(3)}
    assert _files(tmp_path) == WHOLE_CLIP | frames | {"overlays/case1.mp4", "case1/summary.json"}
    values = np.array(Image.open(tmp_path / "maps/case1/2.png"))
    assert values.shape == (40, 50) and (values == 186).all()  # 255 / (1 + 1 / e) = 186.4
    assert (np.array(Image.open(tmp_path / "masks/case1/2.png")) == 255).all()
    summary = json.loads((tmp_path / "case1/summary.json").read_text())
    assert summary["counts"]["frames"] == 3 and "reading" not in summary


def test_what_was_written_is_counted_clip_by_clip(tmp_path: Path) -> None:
    engine = Engine(segment)
    saver = ClipResultsSaver(CLIPS, tmp_path)
    saver.attach(engine)
    engine.run([piece("case1", 0, 2, False), piece("video", 0, 2, False), piece("video", 2, 1, True)])
    assert saver.written == {"video": (3, 3)}  # case1 ended before its last frame
    engine.state.max_epochs = None  # a new run
    engine.run([piece("a/b", 0, 1, True)])
    assert saver.written == {"a/b": (1, 1)}


def test_a_video_s_frames_have_numbers_and_its_summary_says_what_was_read(tmp_path: Path) -> None:
    reading = {"frames_expected": 5, "ends_early": True}
    read = piece("video", 0, 2, True, index=[0, 2], seconds=[0.0, 0.08], fps=25.0, reading=reading)
    _run(tmp_path, read)
    assert {path.name for path in (tmp_path / "masks/video").iterdir()} == {"000000.png", "000002.png"}
    summary = json.loads((tmp_path / "video/summary.json").read_text())
    assert summary["reading"] == reading | {"frames_read": 2, "frames_skipped": [1]}
    assert [frame["seconds"] for frame in summary["frames"]] == [0, 0.08]


@pytest.mark.parametrize("is_cropped", [False, True])
def test_nothing_is_labelled_outside_of_the_field_of_view(tmp_path: Path, is_cropped: bool) -> None:
    inside = np.zeros((40, 50), bool)
    inside[10:30, 5:40] = True
    field = FieldOfView((10, 5, 30, 40), inside)
    _run(tmp_path, piece("video", 0, 1, True, field=field, is_cropped=is_cropped))
    assert (np.array(Image.open(tmp_path / "maps/video/000000.png")) == np.where(inside, 186, 0)).all()


def test_the_overlay_is_a_gif_where_pyav_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    _run(tmp_path, piece("a/b", 0, 1, True))
    assert {path.name for path in (tmp_path / "overlays/a").iterdir()} == {"b.gif"}


@pytest.mark.parametrize(("option", "missing"), [("write_masks", "masks/"), ("write_overlay", "overlays/")])
def test_what_is_not_wanted_is_not_written(tmp_path: Path, option: str, missing: str) -> None:
    _run(tmp_path, piece("a/b", 0, 1, True), outputs=Outputs(**{option: False}))
    assert _files(tmp_path) == {name for name in WHOLE_CLIP if not name.startswith(missing)}


# the frames to put into a stack that has room for four of five, whether to add their pictures, and whether they fit
STACKS = [(None, False, False), ("1:", False, True), ("1:3", True, False), ("4:", True, True), ("7:9", False, True)]


@pytest.mark.parametrize(("frames", "with_images", "fits"), STACKS)
def test_a_stack_has_room_before_a_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: str | None, with_images: bool, fits: bool
) -> None:
    monkeypatch.setattr("lsinet_monai.formats.stack.LARGEST_STACK", 6 * 8 * 4)
    for index in range(5):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{index}.png")
    clip = Clip("a", image=[str(tmp_path / f"{index}.png") for index in range(5)])
    outputs = Outputs(exports=["nrrd"], frames=frames, with_images=with_images)
    with nullcontext() if fits else pytest.raises(InputError, match=r"frames of 'a' does not fit.*--frames A:B"):
        ClipResultsSaver([clip], tmp_path, outputs)


def test_bad_input_leaves_whole_files_and_is_raised(tmp_path: Path) -> None:
    pieces = [piece("a/b", 0, 1, True), piece("case1", 0, 2, False), piece("unreadable", 0, 1, True)]
    with pytest.raises(InputError, match="unreadable"):
        _run(tmp_path, *pieces)
    assert _files(tmp_path) >= WHOLE_CLIP | {f"{kind}/case1/{i}.png" for kind in ("masks", "maps") for i in range(2)}
    assert not any("unreadable" in name for name in _files(tmp_path))


def test_a_clip_that_breaks_off_leaves_the_next_one_complete(tmp_path: Path) -> None:
    _run(tmp_path, piece("case1", 0, 2, False), piece("a/b", 0, 1, True))
    assert _files(tmp_path) >= WHOLE_CLIP
    assert not (tmp_path / "case1/summary.json").exists()


def test_a_frame_that_was_left_empty_is_flagged(tmp_path: Path) -> None:
    def segment_all_but_one(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        output = segment(engine, batch)
        output["pred"][:, :, 1] = EMPTY_LOGIT
        return output

    inferer = SequentialVideoInferer()
    engine = Engine(segment_all_but_one)
    ClipResultsSaver(CLIPS, tmp_path, inferer=inferer).attach(engine)
    engine.run([piece("case1", 0, 3, True)])
    summary = json.loads((tmp_path / "case1/summary.json").read_text())
    assert [frame["left_empty"] for frame in summary["frames"]] == [False, True, False]
    assert (summary["counts"]["frames_left_empty"], summary["skipped_writes"], summary["cuts"]) == (1, 0, [])
    assert not np.array(Image.open(tmp_path / "maps/case1/1.png")).any()


def _fetch_by_copies(*arguments: Any) -> Any:
    """Fetch a map as from a GPU, wherever it is."""
    return _Copies(*arguments).wait


@pytest.mark.parametrize("is_cropped", [False, True])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_maps_that_come_from_a_device_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, is_cropped: bool
) -> None:
    inside = np.zeros((40, 50), bool)
    inside[10:30, 5:40] = True
    field = FieldOfView((10, 5, 30, 40), inside)
    logits = 4 * torch.randn(1, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for name, where in (("expected", "cpu"), ("found", device)):
        if name == "found":
            monkeypatch.setattr("lsinet_monai.handlers.clip_results_saver.fetch_map", _fetch_by_copies)
        engine = Engine(lambda engine, batch, where=where: {"pred": logits.to(where)})
        ClipResultsSaver(CLIPS, tmp_path / name).attach(engine)
        engine.run([piece("video", 0, 3, True, field=field, is_cropped=is_cropped)])
    for index in range(3):
        for kind in ("masks", "maps"):
            found, expected = (
                np.array(Image.open(tmp_path / name / f"{kind}/video/{index:06d}.png"), int)
                for name in ("found", "expected")
            )
            assert np.abs(found - expected).max() <= (1 if kind == "maps" else 0)
    assert (tmp_path / "found/overlays/video.mp4").exists()
