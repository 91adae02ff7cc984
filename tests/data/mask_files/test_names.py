from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsinet_monai.data.mask_files import frame_names, match_masks
from lsinet_monai.errors import InputError

# the name of a frame, and of its mask
FOUND = [
    ("image1.jpg", "image1.png"),
    ("image1.JPG", "image1.PNG"),
    ("image1.png", "image1.jpeg"),
    ("image1.jpg", "image1.jpg"),
    ("image1.jpg", "image1_mask.png"),
    ("image1.jpg", "image1-GT.png"),
    ("image1.jpg", "image1_segmentation.tif"),
    ("image1.jpg", "image1.jpg.png"),
    ("a_mask.jpg", "a_mask.png"),
    ("image1.jpg", "mask_image1.png"),
    ("IMAGE1.JPG", "image1.png"),
    ("bild_\u00e4.jpg", "bild_a\u0308.png"),  # "ä" as one character, and as macOS writes it
    ("bild_a\u0308.jpg", "BILD_\u00c4_mask.png"),
]


@pytest.mark.parametrize(("frame", "mask"), FOUND)
def test_a_mask_is_found_by_its_name(tmp_path: Path, frame: str, mask: str) -> None:
    for name in (mask, "other.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    found, without_frame = match_masks([Path("Frame", frame), Path("Frame/none.jpg")], tmp_path)
    assert found == [tmp_path / mask, tmp_path / "none.png"]
    assert without_frame == [tmp_path / "other.png"]


def test_a_missing_folder_has_no_masks(tmp_path: Path) -> None:
    assert match_masks([Path("a.jpg")], tmp_path / "GT") == ([tmp_path / "GT/a.png"], [])


def test_names_that_differ_only_in_case_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.png", "A_mask.png"):
        (tmp_path / name).touch()
    found = [tmp_path / "a.png", tmp_path / "A_mask.png"]
    assert match_masks([Path("a.jpg"), Path("A.jpg")], tmp_path) == (found, [])


@pytest.mark.parametrize("names", [("a.png", "a.jpg"), ("a.png", "a_mask.png"), ("a_mask.png", "a_gt.png")])
def test_two_masks_of_a_frame_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"is a mask of the same frame, a\.jpg; remove one"):
        match_masks([Path("a.jpg")], tmp_path)


# the names of a folder's masks, and of their frames
NAMED = [
    (["1.png", "2.PNG"], ["1", "2"]),
    (["1_mask.png", "2_mask.png"], ["1", "2"]),
    (["1_mask.png", "2.png"], ["1_mask", "2"]),
    (["1_mask.png", "1_gt.png"], ["1_mask", "1_gt"]),
    (["a\u0308_mask.png", "o\u0308_mask.png"], ["\u00e4", "\u00f6"]),
    (["a\u0308.png", "o\u0308.png"], ["\u00e4", "\u00f6"]),
    ([], []),
]


@pytest.mark.parametrize(("masks", "frames"), NAMED)
def test_a_mark_that_all_masks_have_is_left_out(masks: list[str], frames: list[str]) -> None:
    assert frame_names(map(Path, masks)) == frames


STEMS = st.sampled_from(["a", "a_mask", "a-gt", "a_mask_gt", "a.jpg", "a_mask.jpg", "b"])


@given(st.sets(STEMS, min_size=1), st.sets(st.tuples(STEMS, st.sampled_from([".png", ".bmp"]))))
def test_no_frame_has_another_frames_mask(
    tmp_path_factory: pytest.TempPathFactory, stems: set[str], masks: set[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    for stem, suffix in masks:
        (folder / f"{stem}{suffix}").touch()
    frames = [Path(f"{stem}.jpg") for stem in sorted(stems)]
    try:
        found, without_frame = match_masks(frames, folder)
    except InputError as error:
        assert "is a mask of the same frame" in str(error) and len(masks) > 1
        return
    there = [path for path in found if path.exists()]
    assert len(set(there)) == len(there) and {*there, *without_frame} == set(folder.iterdir())
    for frame, path in zip(frames, found, strict=True):
        if path.exists() and path.stem != frame.stem:
            assert not {path.stem, path.stem.removesuffix(".jpg")} & (
                stems - {frame.stem}
            )  # or it would be that frame's
