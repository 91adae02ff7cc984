from __future__ import annotations

import csv
import json
from pathlib import Path

import itk
import numpy as np
import pytest

from lsinet_monai.data import phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, read_labels
from lsinet_monai.writers import EXPORTS, ClipWriter

INDICES = [2, 3, 4, 6, 7, 8]
CLIP = ClipInfo("a/b", (48, 64), frame_count=9, files={index: f"image{index}.jpg" for index in INDICES})


@pytest.fixture(scope="module")
def clip() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Frames and masks of the phantom, and a second lesion in a corner of some."""
    frames = dict(zip(INDICES, phantom_clip(len(INDICES), CLIP.size, seed=2), strict=True))
    for index in (3, 4, 6):
        frames[index][1][40:46, 2:9] = 255
    assert all((mask[:, 20:] > 0).any() for _, mask in frames.values())
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: dict[int, tuple[np.ndarray, np.ndarray]]) -> Path:
    """The clip's results in all formats."""
    folder = tmp_path_factory.mktemp("out")
    with ClipWriter(
        folder, "a/b", overlay=None, frame_seconds=0.04, exports=list(EXPORTS), images=lambda index: clip[index][0]
    ) as writer:
        for index, (frame, mask) in clip.items():
            writer.write(CLIP.file(index), frame, np.where(mask > 0, np.float32(0.8), np.float32(0)), index)
    return folder / "a/b"


def test_files(folder: Path) -> None:
    stacks = {"images.nii.gz", "images.nrrd"}
    assert {file.name for file in folder.iterdir()} == {*EXPORTS.values(), *stacks, "summary.json"}


@pytest.mark.parametrize("name", ["coco.json", "cvat.xml", "masks.nii.gz", "masks.nrrd"])
def test_masks_are_read_back(folder: Path, clip: dict[int, tuple[np.ndarray, np.ndarray]], name: str) -> None:
    labels = read_labels(folder / name, CLIP)
    assert set(labels) - {5} == set(INDICES)
    for index, (_, mask) in clip.items():
        both = (labels.mask(index) & (mask > 0)).sum() / (labels.mask(index) | (mask > 0)).sum()
        assert both == 1 if name != "cvat.xml" else both >= 0.98


@pytest.mark.parametrize("name", ["coco.json", "cvat.xml"])
def test_lesions_keep_their_ids_and_scores(folder: Path, name: str) -> None:
    labels = read_labels(folder / name, CLIP)
    corner = {index: int(labels[index][43, 5]) for index in INDICES}
    assert len({corner[index] for index in (3, 4, 6)}) == 1 and not any(corner[index] for index in (2, 7, 8))
    assert labels.attributes(4)[corner[4]] == {"score": 0.8}


def test_frames_csv_has_what_the_summary_has(folder: Path) -> None:
    with (folder / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    frames = json.loads((folder / "summary.json").read_text())["frames"]
    assert [int(row["index"]) for row in rows] == INDICES
    for row, frame in zip(rows, frames, strict=True):
        assert row["file"] == f"{frame['frame']}.jpg"
        assert all(float(row[name]) == frame[name] for name in ("seconds", "area", "score", "uncertainty"))


def test_coco_has_times(folder: Path) -> None:
    content = json.loads((folder / "coco.json").read_text())
    assert content["videos"][0]["fps"] == 25
    assert [(image["file_name"], image["seconds"]) for image in content["images"]] == [
        (f"image{index}.jpg", index * 0.04) for index in INDICES
    ]


def test_frames_that_cvat_counts_in_another_way_are_said(
    tmp_path: Path, clip: dict[int, tuple[np.ndarray, np.ndarray]], caplog: pytest.LogCaptureFixture
) -> None:
    for indices, count in ((INDICES, 3), (range(len(INDICES)), 0)):
        caplog.clear()
        with ClipWriter(tmp_path / str(count), "a", overlay=None, frame_seconds=0.04, exports=["cvat"]) as writer:
            for index, (frame, mask) in zip(indices, clip.values(), strict=True):
                writer.write(f"{index}.png", frame, np.where(mask > 0, np.float32(0.8), np.float32(0)), index)
        assert (f"a: {count} frames are damaged or lost. cvat.xml counts them" in caplog.text) is bool(count)


def test_images_match_the_masks(folder: Path, clip: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    for name in ("images.nii.gz", "images.nrrd"):
        stack = itk.array_from_image(itk.imread(folder / name))
        assert not stack[5 - 2].any()
        for index, (frame, _) in clip.items():
            np.testing.assert_array_equal(stack[index - 2], frame)


def test_some_frames_and_no_maps(tmp_path: Path, clip: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    with ClipWriter(
        tmp_path, "a/b", write_maps=False, overlay=None, exports=["nrrd", "coco"], stack_frames=range(3, 5)
    ) as writer:
        for index, (frame, mask) in clip.items():
            writer.write(CLIP.file(index), frame, (mask > 0).astype(np.float32), index)
    assert list(read_labels(tmp_path / "a/b/masks.nrrd", CLIP)) == [3, 4]
    annotations = json.loads((tmp_path / "a/b/coco.json").read_text())["annotations"]
    assert annotations and not any("score" in annotation for annotation in annotations)


def test_a_frame_that_is_not_found_again_is_black_in_the_stack(
    tmp_path: Path, clip: dict[int, tuple[np.ndarray, np.ndarray]], caplog: pytest.LogCaptureFixture
) -> None:
    def images(index: int) -> np.ndarray:
        if index == 4:
            raise InputError("frame 4 is damaged")
        return clip[index][0]

    with ClipWriter(tmp_path, "a/b", overlay=None, exports=["nrrd"], stack_frames=range(3, 5), images=images) as writer:
        for index, (frame, mask) in clip.items():
            writer.write(CLIP.file(index), frame, (mask > 0).astype(np.float32), index)
    assert "frame 4 of a/b is black" in caplog.text


def test_a_stack_of_no_frames_is_left_out(tmp_path: Path, clip: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    with ClipWriter(tmp_path, "a/b", overlay=None, exports=["nrrd", "coco"], stack_frames=range(99, 99)) as writer:
        for index, (frame, mask) in clip.items():
            writer.write(CLIP.file(index), frame, (mask > 0).astype(np.float32), index)
    assert {path.name for path in (tmp_path / "a/b").iterdir()} == {"coco.json", "summary.json"}


def test_a_clip_without_frames(tmp_path: Path) -> None:
    with ClipWriter(tmp_path, "a", exports=list(EXPORTS)):
        pass
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"frames.csv", "summary.json"}


def test_frames_of_two_sizes_have_no_place_in_a_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ in size"), ClipWriter(tmp_path, "a", exports=["coco"]) as writer:
        for size in (20, 30):
            writer.write(f"{size}.png", np.zeros((size, 20, 3), np.uint8), np.zeros((size, 20), np.float32))
