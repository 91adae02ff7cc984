from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.writers.clip_writer import ClipWriter, prepare_output_dir

FRAME = np.full((20, 50, 3), 90, np.uint8)


def _probability(pixels: int, value: float = 0.8) -> np.ndarray:
    """A map whose first ``pixels`` of 1000 pixels have a value."""
    return np.where(np.arange(1000) < pixels, value, 0).astype(np.float32).reshape(20, 50)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_prepare_output_dir(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert prepare_output_dir(folder) == folder and folder.is_dir()
    (folder / "empty").mkdir()
    assert prepare_output_dir(str(folder)) == folder
    (folder / "empty" / "x.png").touch()
    with pytest.raises(
        InputError, match=r"holds files that this run did not write \(e.g. 'empty/x.png'\).*--overwrite"
    ):
        prepare_output_dir(folder)
    assert prepare_output_dir(folder, overwrite=True) == folder and _files(folder) == ["empty/x.png"]
    with pytest.raises(InputError, match="is a file"):
        prepare_output_dir(folder / "empty" / "x.png", overwrite=True)
    with pytest.raises(InputError, match="cannot be made"):
        prepare_output_dir(folder / "empty" / "x.png" / "below")


@pytest.mark.parametrize("output_dir", ["frames", "frames/out", "frames/new/../out", "link/out"])
def test_output_may_not_lie_in_the_input(tmp_path: Path, output_dir: str) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "link").symlink_to("frames")
    with pytest.raises(InputError, match=r"output_dir '.*' lies in the input '.*frames'"):
        prepare_output_dir(tmp_path / output_dir, overwrite=True, input_dir=tmp_path / "frames")
    assert not list((tmp_path / "frames").iterdir())


@pytest.mark.parametrize("output_dir", [".", "frames_out", "frames/../out"])
def test_output_may_lie_beside_and_above_the_input(tmp_path: Path, output_dir: str) -> None:
    (tmp_path / "frames").mkdir()
    assert prepare_output_dir(tmp_path / output_dir, input_dir=tmp_path / "frames").is_dir()


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
        "counts": {"frames": 4, "frames_with_polyp": 2, "intervals": 1},
        "intervals": [{"first": 1, "last": 3, "first_frame": "image1", "last_frame": "image3"}],
    }
    assert [frame["frame"] for frame in frames] == ["image0", "image1", "image2", "image3"]
    assert [frame["has_polyp"] for frame in frames] == [False, True, False, True]
    assert [frame["area"] for frame in frames] == [0, 0.1, 0.001, 1]
    # A lone pixel in the corner is one of the nine in its window; two full rows at the border are two of three.
    assert [frame["score"] for frame in frames] == pytest.approx([0, 0.8 * 2 / 3, 0.8 / 9, 0.8])
    entropy = -(0.8 * np.log2(0.8) + 0.2 * np.log2(0.2))
    assert [frame["uncertainty"] for frame in frames] == pytest.approx([0, entropy, entropy, entropy], rel=1e-5)


def test_overlay_plays_at_the_clip_s_pace(tmp_path: Path) -> None:
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


def test_an_exception_leaves_masks_and_maps_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ClipWriter(tmp_path, "a") as writer:
        writer.write("0.png", FRAME, _probability(10))
        raise KeyboardInterrupt
    assert _files(tmp_path) == ["maps/a/0.png", "masks/a/0.png"]


@pytest.mark.parametrize("clip_id", ["", ".", "..", "../a", "a/../../b", "/a"])
def test_clip_id_stays_inside(tmp_path: Path, clip_id: str) -> None:
    with pytest.raises(InputError, match="clip_id"):
        ClipWriter(tmp_path, clip_id)


BAD_FRAMES = [
    ("0.jpg", FRAME, _probability(1), "would overwrite"),
    ("1.png", FRAME, _probability(1)[:-1], "has shape"),
    ("1.png", FRAME, _probability(1, 1.5), "outside"),
    ("1.png", FRAME, _probability(1, np.nan), "outside"),
]


@pytest.mark.parametrize(("name", "frame", "probability", "message"), BAD_FRAMES)
def test_write_refuses(tmp_path: Path, name: str, frame: np.ndarray, probability: np.ndarray, message: str) -> None:
    with ClipWriter(tmp_path, "a", write_overlay=False) as writer:
        writer.write("0.png", FRAME, _probability(1))
        with pytest.raises(InputError, match=message):
            writer.write(name, frame, probability)
