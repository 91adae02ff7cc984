from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.data import phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.formats import frame_file
from lsinet_monai.writers import ClipWriter, clip_writer, fetch_map, frames_on_disk, read_summary

FRAME = np.full((20, 50, 3), 90, np.uint8)


def _probability(pixels: int, value: float = 0.8) -> np.ndarray:
    """A map whose first ``pixels`` of 1000 pixels have a value."""
    return np.where(np.arange(1000) < pixels, value, 0).astype(np.float32).reshape(20, 50)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_clip(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "case1/part2", frame_seconds=0.04) as writer:
        for index, pixels in enumerate([0, 100, 1, 1000]):
            writer.write(f"image{index}.jpg", FRAME, _probability(pixels))
    masks = [f"masks/case1/part2/image{index}.png" for index in range(4)]
    maps = [name.replace("masks", "maps") for name in masks]
    assert _files(tmp_path) == sorted(["case1/part2/summary.json", "overlays/case1/part2.gif", *maps, *masks])

    mask, map_ = Image.open(tmp_path / masks[1]), Image.open(tmp_path / maps[1])
    assert mask.mode == map_.mode == "L"
    np.testing.assert_array_equal(np.asarray(mask), np.where(_probability(100) > 0.5, 255, 0))
    np.testing.assert_array_equal(np.asarray(map_), np.where(_probability(100) > 0.5, 204, 0))  # 0.8 * 255
    assert not np.asarray(Image.open(tmp_path / maps[0])).any()

    summary = json.loads((tmp_path / "case1/part2/summary.json").read_text())
    frames = summary.pop("frames")
    assert summary == {
        "clip": "case1/part2",
        "size": [20, 50],
        "threshold": 0.5,
        "min_area": 0.001,
        "frame_seconds": 0.04,
        "counts": {"frames": 4, "frames_with_polyp": 2, "frames_left_empty": 0, "intervals": 1},
        "intervals": [
            {
                "first": 1,
                "last": 3,
                "first_frame": "image1",
                "last_frame": "image3",
                "first_seconds": 0.04,
                "last_seconds": 0.12,
            }
        ],
    }
    assert [(frame["index"], frame["seconds"]) for frame in frames] == [(0, 0), (1, 0.04), (2, 0.08), (3, 0.12)]
    assert [frame["frame"] for frame in frames] == ["image0", "image1", "image2", "image3"]
    assert [frame["has_polyp"] for frame in frames] == [False, True, False, True]
    assert [frame["area"] for frame in frames] == [0, 0.1, 0.001, 1]
    # A lone pixel in the corner is one of the nine in its window; two full rows at the border are two of three.
    assert [frame["score"] for frame in frames] == pytest.approx([0, 0.8 * 2 / 3, 0.8 / 9, 0.8])
    entropy = -(0.8 * np.log2(0.8) + 0.2 * np.log2(0.2))
    assert [frame["uncertainty"] for frame in frames] == pytest.approx([0, entropy, entropy, entropy], rel=1e-5)


def test_overlay_plays_at_the_clip_s_speed(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "a", write_masks=False, write_maps=False, frame_seconds=1 / 30) as writer:
        for index in range(9):
            frame = np.full((400, 800, 3), 20 * index, np.uint8)
            writer.write(f"{index}.png", frame, np.zeros((400, 800), np.float32))
    assert _files(tmp_path) == ["a/summary.json", "overlays/a.gif"]
    with Image.open(tmp_path / "overlays/a.gif") as gif:
        assert (gif.n_frames, gif.width) == (9, 480) and gif.height > 240
        durations = []
        for index in range(9):
            gif.seek(index)
            durations.append(gif.info["duration"])
            assert abs(gif.convert("RGB").getpixel((240, 100))[0] - 20 * index) <= 2
        assert sum(durations) == 300


def test_overlay_takes_frames_of_another_size(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "a") as writer:
        writer.write("0.png", FRAME, _probability(10))
        writer.write("1.png", np.zeros((64, 32, 3), np.uint8), np.ones((64, 32), np.float32))
    assert Image.open(tmp_path / "masks/a/1.png").size == (32, 64)
    assert Image.open(tmp_path / "overlays/a.gif").n_frames == 2


def test_an_exception_leaves_only_masks_and_maps(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ClipWriter(tmp_path, "a") as writer:
        writer.write("0.png", FRAME, _probability(10))
        raise KeyboardInterrupt
    assert _files(tmp_path) == ["maps/a/0.png", "masks/a/0.png"]


@pytest.mark.parametrize("clip_id", ["", ".", "..", "../a", "a/../../b", "/a"])
def test_clip_id_stays_inside(tmp_path: Path, clip_id: str) -> None:
    with pytest.raises(InputError, match="clip_id"):
        ClipWriter(tmp_path, clip_id)


def test_missing_frames_do_not_shift_the_others(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "a", overlay=None, write_maps=False) as writer:
        writer.about["reading"] = {"frames_skipped": 5}
        for index, seconds in ((7, 0.7), (9, 0.9), (14, 1.5)):
            writer.write(frame_file(index), FRAME, _probability(100), index, seconds)
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert summary["reading"] == {"frames_skipped": 5}
    intervals = [(interval["first"], interval["last"], interval["last_seconds"]) for interval in summary["intervals"]]
    assert intervals == [(7, 9, 0.9), (14, 14, 1.5)]
    assert _files(tmp_path / "masks") == ["a/000007.png", "a/000009.png", "a/000014.png"]


@cache
def _clip() -> list[tuple[np.ndarray, np.ndarray]]:
    """12 frames of the phantom, and maps that agree with its masks."""
    clip = phantom_clip(12, (48, 64), seed=2)
    return [(frame, np.where(mask > 0, np.float32(0.9), np.float32(0.1))) for frame, mask in clip]


def _write(
    folder: Path, clip: list[tuple[np.ndarray, np.ndarray]], first: int, stop: int, **options: Any
) -> ClipWriter:
    """Write some frames, flushing after every fourth of the clip, and leave the writer as a killed process would."""
    exports = ["csv", "coco", "cvat"]
    writer = ClipWriter(folder, "a/b", exports=exports, frame_seconds=0.04, frames_done=first, **options)
    for index in range(first, stop):
        writer.write(f"{index}.jpg", *clip[index])
        if index % 4 == 3:
            writer.flush()
    writer._threads.shutdown()  # a killed process has none: they would write beside the next run's
    return writer


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in _files(folder)}


STOPS = [
    ("mp4", [10]),
    ("mp4", [12]),
    ("mp4", [2, 3, 9]),
    (None, [2, 3, 9]),
    pytest.param("gif", [6], marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("overlay", "stops"), STOPS)
def test_a_stopped_run_ends_with_the_same_results(tmp_path: Path, overlay: Any, stops: list[int]) -> None:
    clip = _clip()
    with _write(tmp_path / "whole", clip, 0, 12, overlay=overlay):
        pass
    done = 0
    for stop in stops:
        _write(tmp_path / "stopped", clip, done, stop, overlay=overlay)
        with (tmp_path / "stopped/a/b/.unfinished/frames.csv").open("a") as file:
            file.write("99,torn")
        assert read_summary(tmp_path / "stopped", "a/b") is None
        done = frames_on_disk(tmp_path / "stopped", "a/b")
        # The last frames' files may still be on their way.
        assert stop // 4 * 4 <= done and (done <= stop if overlay is None else done == stop // 4 * 4)
    with _write(tmp_path / "stopped", clip, done, 12, overlay=overlay):
        pass
    assert read_summary(tmp_path / "stopped", "a/b")["clip"] == "a/b"
    assert _contents(tmp_path / "stopped") == _contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_can_resume_after_an_exception(tmp_path: Path) -> None:
    clip = _clip()
    with pytest.raises(KeyboardInterrupt), _write(tmp_path, clip, 0, 6):
        raise KeyboardInterrupt
    assert frames_on_disk(tmp_path, "a/b") == 6 and read_summary(tmp_path, "a/b") is None
    with ClipWriter(tmp_path, "a/b", frames_done=4) as writer:
        writer.write("4.jpg", *clip[4])
    assert json.loads((tmp_path / "a/b/summary.json").read_text())["counts"]["frames"] == 5
    assert not list(tmp_path.rglob(".*"))
    with Image.open(tmp_path / "overlays/a/b.gif") as overlay:
        assert overlay.n_frames == 5


@pytest.mark.slow
def test_a_run_cannot_resume_from_frames_that_are_missing(tmp_path: Path) -> None:
    _write(tmp_path, _clip(), 0, 6)
    for done in (3, 6, 7):  # not flushed there, last segment incomplete, not written
        with pytest.raises(InputError, match=f"does not hold the first {done} frames of clip 'a/b': start the clip"):
            ClipWriter(tmp_path, "a/b", frames_done=done)
    assert frames_on_disk(tmp_path, "b") == 0


@pytest.mark.slow
def test_a_run_from_the_start_removes_the_earlier_one(tmp_path: Path) -> None:
    with _write(tmp_path, _clip(), 0, 3):
        pass
    ClipWriter(tmp_path, "a/b")
    assert read_summary(tmp_path, "a/b") is None and frames_on_disk(tmp_path, "a/b") == 0


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"exports": ["dicom"]}, "export 'dicom' is not one of csv, coco, cvat, parquet, nifti, nrrd"),
    ({"exports": ["coco"], "write_masks": False}, "write the masks too"),
    ({"overlay": "avi"}, "overlay 'avi' is neither gif nor mp4"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClipWriter(tmp_path, "a", **options)
    assert not _files(tmp_path)


def test_a_stack_that_grows_too_large_is_refused_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"a stack of 1073742 frames .* choose fewer with --frames A:B"),
        ClipWriter(tmp_path, "a", overlay=None, exports=["nifti"]) as writer,
    ):
        writer.write("0.png", FRAME, _probability(1), index=0)
        writer.write("1.png", FRAME, _probability(1), index=1_073_741)


BAD_FRAMES = [
    ("0.jpg", FRAME, _probability(1), "would overwrite"),
    ("1.png", FRAME, _probability(1)[:-1], "has shape"),
    ("1.png", FRAME, _probability(1, 1.5), "outside"),
    ("1.png", FRAME, _probability(1, np.nan), "outside"),
]


def test_frames_come_in_order(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "a", overlay=None) as writer:
        writer.write("0.png", FRAME, _probability(1), index=5)
        with pytest.raises(InputError, match="has the index 5, but 6 or more comes next"):
            writer.write("1.png", FRAME, _probability(1), index=5)


@pytest.mark.parametrize(("name", "frame", "probability", "message"), BAD_FRAMES)
def test_write_refuses(tmp_path: Path, name: str, frame: np.ndarray, probability: np.ndarray, message: str) -> None:
    with ClipWriter(tmp_path, "a", overlay=None) as writer:
        writer.write("0.png", FRAME, _probability(1))
        with pytest.raises(InputError, match=message):
            writer.write(name, frame, probability)


@pytest.mark.parametrize("frames_done", [None, 0])
@pytest.mark.parametrize("fails", [2, 3])  # a frame in the middle, or the last one
def test_a_picture_that_cannot_be_written_ends_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames_done: int | None, fails: int
) -> None:
    write_png = clip_writer.write_png

    def write(path: Path, picture: np.ndarray) -> None:
        if path.name == f"{fails}.png" and "maps" in path.parts:
            raise OSError("no room")
        write_png(path, picture)

    monkeypatch.setattr(clip_writer, "write_png", write)
    with (
        pytest.raises(OSError, match="no room"),
        ClipWriter(tmp_path, "a/b", overlay=None, frames_done=frames_done) as writer,
    ):
        for index in range(4):
            writer.write(f"{index}.png", FRAME, _probability(100))
    assert writer.indices == [*range(fails)] and read_summary(tmp_path, "a/b") is None
    assert frames_on_disk(tmp_path, "a/b") == (0 if frames_done is None else fails)
    assert (tmp_path / "a/b/.unfinished").exists() == (frames_done is not None)


def test_frames_are_encoded_in_parallel_but_no_more_than_there_are_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, may_end, ended = Semaphore(0), Semaphore(0), []

    def write(path: Path, picture: np.ndarray) -> None:
        started.release()
        assert may_end.acquire(timeout=60)
        ended.append(path.stem)

    monkeypatch.setattr(clip_writer, "write_png", write)
    monkeypatch.setattr(clip_writer, "available_cores", lambda: 3)
    with ClipWriter(tmp_path, "a", overlay=None, write_maps=False) as writer:
        for index in range(3):
            writer.write(f"{index}.png", FRAME, _probability(100))
        assert all(started.acquire(timeout=60) for _ in range(3)) and not ended
        fourth = Thread(target=writer.write, args=("3.png", FRAME, _probability(100)))
        fourth.start()
        fourth.join(0.05)
        assert fourth.is_alive()  # It waits for the first.
        for _ in range(4):
            may_end.release()
        fourth.join(60)
        writer.flush()
        assert sorted(ended) == ["0", "1", "2", "3"] and frames_on_disk(tmp_path, "a") == 4


def test_what_was_fetched_from_a_device_is_written(tmp_path: Path) -> None:
    for name, needs in (("fetched", False), ("given", True)):
        with ClipWriter(tmp_path / name, "a", overlay=None, write_maps=False) as writer:
            probability = _probability(100)
            writer.write("0.png", FRAME, probability if needs else fetch_map(torch.from_numpy(probability), 0.5)())
    assert _contents(tmp_path / "fetched") == _contents(tmp_path / "given")
