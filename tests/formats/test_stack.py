from __future__ import annotations

import gzip
from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, check_stack, read_stack, write_image_stack, write_stack

Frames = dict[int, np.ndarray]
SUFFIXES = [".nii.gz", ".nii", ".nrrd"]


def _write(path: Path, clip: ClipInfo, labels: Frames, frames: range = range(2, 8)) -> Path:
    with write_stack(path, clip, frames) as add:
        for index, frame in labels.items():
            add(index, frame, {})
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_there_and_back(tmp_path: Path, clip: ClipInfo, labels: Frames, suffix: str) -> None:
    path = _write(tmp_path / f"a{suffix}", clip, labels)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    found = read_stack(path, clip)
    assert list(found) == [2, 3, 4, 5, 6, 7] and found[3].dtype == np.int32
    assert not found[5].any()
    for index, frame in labels.items():
        np.testing.assert_array_equal(found[index], frame)
    assert list(read_stack(path, clip, first_frame=0)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_some_frames(tmp_path: Path, clip: ClipInfo, labels: Frames, suffix: str) -> None:
    found = read_stack(_write(tmp_path / f"a{suffix}", clip, labels, range(3, 5)), clip)
    assert list(found) == [3, 4]
    np.testing.assert_array_equal(found[4], labels[4])


def test_what_other_tools_see(tmp_path: Path, clip: ClipInfo, labels: Frames) -> None:
    image = nibabel.load(_write(tmp_path / "a.nii.gz", clip, labels))
    assert image.shape == (80, 60, 6) and image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 1].T, labels[3])
    # ITK-SNAP and 3D Slicer show the axes left and posterior rightwards and downwards: as the frame's.
    np.testing.assert_array_equal(image.affine, np.diag([-1, -1, 1, 1]))
    assert image.header["descrip"].tobytes().rstrip(b"\0") == b"first_frame=2 frames=6 fps=25"
    header = _write(tmp_path / "a.nrrd", clip, labels).read_bytes().partition(b"\n\n")[0].decode().splitlines()
    assert {"sizes: 80 60 6", "type: unsigned char", "encoding: gzip"} <= set(header)
    assert {"first_frame:=2", "frames:=6", "fps:=25"} <= set(header)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_in_colour(tmp_path: Path, clip: ClipInfo, suffix: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)
    write_image_stack(tmp_path / f"a{suffix}", clip, range(2, 5), iter(images))
    image = itk.imread(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(itk.array_from_image(image), images)
    np.testing.assert_array_equal(itk.array_from_matrix(image.GetDirection()), np.eye(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_labels_of_other_tools(tmp_path: Path, clip: ClipInfo, dtype: type) -> None:
    stack = np.random.default_rng(0).integers(0, 4, (80, 60, 9)).astype(dtype)
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(stack.T)), tmp_path / "a.nrrd")
    for name in ("a.nii.gz", "a.nrrd"):
        found = read_stack(tmp_path / name, clip)
        assert list(found) == list(range(9))
        np.testing.assert_array_equal(found[8], stack[:, :, 8].T)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "RPS", "LPI", "PLS", "SPL", "ASR"])
@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_a_stack_that_was_turned_is_turned_back(
    tmp_path: Path, clip: ClipInfo, labels: Frames, suffix: str, axes: str
) -> None:
    orientations = nibabel.orientations
    ours = nibabel.load(_write(tmp_path / "a.nii", clip, labels))
    start, end = orientations.io_orientation(ours.affine), orientations.axcodes2ornt(axes)
    turned = ours.as_reoriented(orientations.ornt_transform(start, end))
    assert "".join(nibabel.aff2axcodes(turned.affine)) == axes
    path = tmp_path / f"turned{suffix}"
    if suffix == ".nii":
        turned.to_filename(path)
    else:
        affine = np.diag([-1, -1, 1, 1]) @ turned.affine  # ITK counts to the left and to the back
        image = itk.image_from_array(np.ascontiguousarray(np.asarray(turned.dataobj).T))
        image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(affine[:3, :3])))
        image.SetOrigin(affine[:3, 3].tolist())
        itk.imwrite(image, path)
    found = read_stack(path, clip, first_frame=2)
    for index, frame in labels.items():
        np.testing.assert_array_equal(found[index], frame)
    note = ["the file says that its frames are turned or mirrored; they were turned upright"]
    assert found.reading.notes == (note if axes != "LPS" else [])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_orientation_of_a_script_is_not_applied_and_said(tmp_path: Path, clip: ClipInfo, suffix: str) -> None:
    stack = np.random.default_rng(0).integers(0, 4, (80, 60, 9)).astype(np.uint8)
    origin = [-20, -16, 0]  # positive axes, as in the middle of a picture
    if suffix == ".nrrd":
        image = itk.image_from_array(np.ascontiguousarray(stack.T))
        image.SetDirection(itk.matrix_from_array(np.diag([-1.0, -1, 1])))
        image.SetOrigin([-origin[0], -origin[1], 0])
        itk.imwrite(image, tmp_path / f"a{suffix}")
    else:
        affine = np.diag([0.5, 0.5, 2, 1])
        affine[:3, 3] = origin
        nibabel.Nifti1Image(stack, affine).to_filename(tmp_path / f"a{suffix}")
    found = read_stack(tmp_path / f"a{suffix}", clip)
    np.testing.assert_array_equal(found[3], stack[:, :, 3].T)
    (note,) = found.reading.notes
    assert note.endswith("its frames were taken as they lie: check that the masks fit")


def test_a_stack_at_an_angle_is_refused(tmp_path: Path, clip: ClipInfo) -> None:
    affine = np.array([[-0.9, 0.44, 0, 0], [-0.44, -0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nibabel.Nifti1Image(np.ones((80, 60, 9), np.uint8), affine).to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a.nii: has axes at an angle to those of the frames; save it in the"):
        read_stack(tmp_path / "a.nii", clip)


def test_a_stack_has_a_stated_size() -> None:
    clip = ClipInfo("video", (1080, 1920), frame_count=100_000)
    check_stack(clip, range(500, 1017))
    with pytest.raises(InputError, match=r"at 1920x1080 it has 1 to 517 frames.*choose fewer with --frames A:B"):
        check_stack(clip, range(518))
    with pytest.raises(InputError, match="1 to 172"):
        check_stack(clip, range(173), channels=3)
    with pytest.raises(InputError, match="0 frames"):
        check_stack(clip, range(0))


OTHERS = [
    ("another size", np.zeros((60, 80, 3), np.uint8), "is 60x80.*3D Slicer.*label map"),
    ("too many frames", np.zeros((80, 60, 10), np.uint8), "has 10 frames, 'case1/part2' has 9"),
    ("more axes", np.zeros((80, 60, 3, 2), np.uint8), "has the axes 80x60x3x2.*3D Slicer.*label map"),
    ("fractions", np.full((80, 60, 3), 0.5, np.float32), "not whole numbers"),
    ("nan", np.full((80, 60, 3), np.nan, np.float32), "not whole numbers"),
    ("below 0", np.full((80, 60, 3), -1, np.int16), "not whole numbers"),
    ("colours", np.zeros((80, 60, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "save it as a label map"),
]


@pytest.mark.parametrize(("_", "stack", "message"), OTHERS, ids=[case[0] for case in OTHERS])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, stack: np.ndarray, message: str) -> None:
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match=message):
        read_stack(tmp_path / "a.nii", clip)


def _nrrd(**fields: str) -> bytes:
    lines = {"type": "uchar", "dimension": "3", "sizes": "80 60 9", "encoding": "gzip"} | fields
    header = "".join(f"{name.replace('_', ' ')}: {value}\n" for name, value in lines.items())
    return f"NRRD0004\n{header}\n".encode() + gzip.compress(bytes(80 * 60 * 9))


NRRD_FILES = [
    ("no NRRD", b"x" * 99, "it has no NRRD header"),
    ("no end of the header", b"NRRD0004\n" + b"a: b\n" * 99999, "it has no NRRD header"),
    ("a file elsewhere", _nrrd(data_file="/etc/passwd"), "has its pixels in another file"),
    ("huge", _nrrd(sizes="80 60 99999999999"), "has 99999999999 frames"),
    ("another size", _nrrd(sizes="99999 99999 9"), "is 99999x99999"),
    ("no sizes", _nrrd(sizes=""), "is 1x1"),
    ("no numbers", _nrrd(sizes="a b c"), "cannot be read as a stack"),
    ("another type", _nrrd(type="block"), "cannot be read as a stack"),
    ("cut off", _nrrd()[:-20], r"a.nrrd: cannot be read as a stack \(its pixels are cut off, or not packed as"),
]


@pytest.mark.parametrize(("_", "content", "message"), NRRD_FILES, ids=[case[0] for case in NRRD_FILES])
def test_nrrd_refused(tmp_path: Path, clip: ClipInfo, _: str, content: bytes, message: str) -> None:
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_stack(tmp_path / "a.nrrd", clip)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "other"), [("a.nii", "b.nii.gz"), ("a.nii.gz", "b.nii")])
def test_a_nifti_is_unpacked_by_its_content(
    tmp_path: Path, clip: ClipInfo, labels: Frames, name: str, other: str
) -> None:
    path = _write(tmp_path / name, clip, labels)
    expected = read_stack(path, clip)
    path.rename(tmp_path / other)
    found = read_stack(tmp_path / other, clip)
    assert list(found) == list(expected) and all((found[frame] == expected[frame]).all() for frame in expected)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_another_format_named_as_nifti(tmp_path: Path, clip: ClipInfo, suffix: str, endianness: str) -> None:
    path = tmp_path / f"a{suffix}"
    header = nibabel.Nifti2Header(endianness=endianness)
    nibabel.Nifti2Image(np.zeros((80, 60, 9), np.uint8), np.eye(4), header).to_filename(path)
    with pytest.raises(InputError, match=r"a\.nii\S*: is NIfTI-2; save it as NIfTI-1 \(\*.nii.gz\), or as \*.nrrd$"):
        read_stack(path, clip)
    path.write_bytes(_nrrd())
    with pytest.raises(InputError, match=r"is NRRD, not NIfTI; give it as \*.nrrd$"):
        read_stack(path, clip)
    path.write_bytes(b"x" * 999)
    with pytest.raises(InputError, match=r"; save it again, as NIfTI-1 \(\*.nii.gz\) or NRRD \(\*.nrrd\)$"):
        read_stack(path, clip)


@pytest.mark.parametrize("first_frame", [-1, 4])
def test_frames_that_the_clip_does_not_have(tmp_path: Path, clip: ClipInfo, labels: Frames, first_frame: int) -> None:
    with pytest.raises(InputError, match="has 6 frames from frame"):
        read_stack(_write(tmp_path / "a.nrrd", clip, labels), clip, first_frame=first_frame)


def test_a_part_whose_place_is_not_known(tmp_path: Path, clip: ClipInfo) -> None:
    stack = np.zeros((80, 60, 3), np.uint8)
    stack[20:40, 20:40] = 1
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match="has 3 of the 9 frames of 'case1/part2', and does not say which"):
        read_stack(tmp_path / "a.nii", clip)
    assert list(read_stack(tmp_path / "a.nii", clip, first_frame=4)) == [4, 5, 6]


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, -1), slice(None, None, 2)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_stack_from_which_frames_were_cut_off(
    tmp_path: Path, clip: ClipInfo, labels: Frames, suffix: str, kept: slice
) -> None:
    path = _write(tmp_path / f"a{suffix}", clip, labels, range(clip.frame_count))
    if suffix == ".nrrd":
        header, _, packed = path.read_bytes().partition(b"\n\n")
        stack = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(clip.frame_count, *clip.size)[kept]
        header = header.replace(b"sizes: 80 60 9", f"sizes: 80 60 {len(stack)}".encode())
        path.write_bytes(header + b"\n\n" + gzip.compress(stack.tobytes()))
    else:
        image = nibabel.load(path, mmap=False)
        nibabel.Nifti1Image(np.asarray(image.dataobj)[:, :, kept], image.affine, image.header).to_filename(path)
    with pytest.raises(InputError, match=r"of the 9 frames of .*, and does not say which\. Give first_frame"):
        read_stack(path, clip)
    assert next(iter(read_stack(path, clip, first_frame=1))) == 1


def test_a_damaged_nifti(tmp_path: Path, clip: ClipInfo, labels: Frames) -> None:
    content = _write(tmp_path / "a.nii.gz", clip, labels).read_bytes()
    checksum = bytes(byte ^ 255 for byte in content[-8:-4])
    for damaged in (content[:-8] + checksum + content[-4:], content[:-20], gzip.decompress(content)[:-20]):
        (tmp_path / "b.nii").write_bytes(damaged)
        with pytest.raises(InputError, match=r"b.nii: cannot be read as a stack \(its pixels are cut off or damaged\)"):
            read_stack(tmp_path / "b.nii", clip)


@settings(max_examples=60)
@given(st.sampled_from(SUFFIXES), st.data())
def test_no_damage_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    clip = ClipInfo("a", (6, 8), 9)
    path = _write(tmp_path_factory.getbasetemp() / f"a{suffix}", clip, {3: np.eye(6, 8, dtype=np.int32)}, range(9))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        labels = read_stack(path, clip)
        assert all(labels[index].shape == (6, 8) for index in labels)
    except InputError as error:
        assert "\n" not in str(error)
