"""Labels of stacks: those that look like the background, and 3D Slicer's segments."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, UnclearLabels, read_stack, write_stack

BACKGROUNDS = [
    ("0 and 1 swapped", 1, 0),
    ("background 1, polyp 2", 1, 2),
    ("all of every frame", 1, 1),
]


@pytest.mark.parametrize(("_", "background", "polyp"), BACKGROUNDS, ids=[case[0] for case in BACKGROUNDS])
def test_a_label_that_looks_like_the_background_is_refused(
    tmp_path: Path, clip: ClipInfo, _: str, background: int, polyp: int
) -> None:
    stack = np.full((80, 60, 9), background, np.uint8)
    stack[20:40, 20:40, 3:6] = polyp
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a.nii: label 1 covers most of the area and border .*save the background"):
        read_stack(tmp_path / "a.nii", clip)


def test_a_polyp_may_fill_some_frames_and_ours_all(tmp_path: Path, clip: ClipInfo) -> None:
    stack = np.zeros((80, 60, 9), np.uint8)
    stack[:, :, 3:8] = 1
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(tmp_path / "a.nii")
    assert read_stack(tmp_path / "a.nii", clip)[4].all()
    nibabel.Nifti1Image(np.ones((80, 60, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "c.nii")
    assert read_stack(tmp_path / "c.nii", clip, first_frame=4)[4].all()
    with write_stack(tmp_path / "b.nii.gz", clip, range(9)) as add:
        for index in range(9):
            add(index, np.ones(clip.size, np.int32), {})
    assert read_stack(tmp_path / "b.nii.gz", clip)[0].all()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize(("background", "polyp"), [(255, 0), (1, 2)])
def test_few_frames_with_another_background_are_refused(
    tmp_path: Path, clip: ClipInfo, background: int, polyp: int, frames: int, suffix: str
) -> None:
    stack = np.full((frames, 60, 80), background, np.uint8)
    stack[-1, 20:40, 20:40] = polyp
    path = tmp_path / f"a{suffix}"
    itk.imwrite(itk.image_from_array(stack), path)
    with pytest.raises(InputError, match=f"label {background} covers most of the area and border .*save the back"):
        read_stack(path, clip, first_frame=3)


LARGE = np.ones((80, 60), np.uint8)
LARGE[:30, :20] = 0
SMALL = np.zeros((80, 60), np.uint8)
SMALL[20:40, 20:40] = 1
FEW = [
    ("all of every frame", [LARGE | 1, LARGE | 1], True),
    ("most of every frame", [LARGE, LARGE], True),
    ("a corner is free in most frames", [LARGE | 1, LARGE, LARGE], True),
    ("small", [SMALL], False),
    ("large for a while", [SMALL, SMALL, LARGE | 1], False),
    ("not in every frame", [LARGE, LARGE & 0, LARGE], False),
]


@pytest.mark.parametrize(("_", "frames", "is_noted"), FEW, ids=[case[0] for case in FEW])
def test_a_polyp_that_fills_few_frames_is_noted(
    tmp_path: Path, clip: ClipInfo, _: str, frames: list[np.ndarray], is_noted: bool
) -> None:
    nibabel.Nifti1Image(np.stack(frames, axis=2), np.eye(4)).to_filename(tmp_path / "a.nii")
    found = read_stack(tmp_path / "a.nii", clip, first_frame=2)
    assert all((found[2 + place] == frame.T).all() for place, frame in enumerate(frames))
    notes = [
        "label 1 covers most of the area and border of the frames, as a background does; it was taken as polyp: if it "
        "is none, save the background as 0"
    ]
    assert found.reading.notes == (notes if is_noted else [])


def _segments(*names: str) -> bytes:
    """A file of 3D Slicer: segment i has the label i + 1, and is in frame i alone."""
    stack = np.zeros((9, 60, 80), np.uint8)
    lines = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 80 60 9\nencoding: raw\n"
    for i, name in enumerate(names):
        stack[i, :9] = i + 1
        lines += f"Segment{i}_LabelValue:={i + 1}\nSegment{i}_Name:={name}\n"
    return f"{lines}\n".encode() + stack.tobytes()


def test_segments_with_names(tmp_path: Path, clip: ClipInfo) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(_segments("Polyp", "tool", "bleeding"))
    found = read_stack(path, clip)
    assert list(found) == [0, 3, 4, 5, 6, 7, 8] and found[0].max() == 1 and found.reading.left_alone == [1, 2]
    assert found.reading.left_out == {"segment 'tool'": 1, "segment 'bleeding'": 1}
    found = read_stack(path, clip, labels={"Polyp": 2, "tool": "polyp", "bleeding": None})
    assert [int(frame.max()) for frame in found.values()] == [2, 2] + 7 * [0]
    path.write_bytes(_segments("Segment_1"))
    with pytest.raises(UnclearLabels, match=r"from 'Segment_1' \(1\)"):
        read_stack(path, clip)
    path.write_bytes(_segments())
    with pytest.raises(InputError, match="names no segments to choose from"):
        read_stack(path, clip, labels="polyp")


@pytest.mark.parametrize(("value", "ids"), [(255, set()), (128, set()), (1, {1}), (7, {7})])
def test_a_mask_is_not_lesion_255(tmp_path: Path, clip: ClipInfo, value: int, ids: set[int]) -> None:
    with write_stack(tmp_path / "a.nii.gz", clip, range(2, 8)) as add:
        add(3, np.full(clip.size, value, np.int32), {})
    labels = read_stack(tmp_path / "a.nii.gz", clip)
    assert labels.reading.ids == ids and np.unique(labels[3]).tolist() == [max(ids, default=1)]
    assert len(labels.reading.notes) == (not ids)
