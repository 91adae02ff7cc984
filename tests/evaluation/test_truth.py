"""Truth on disk: which clips are found, and which problems of the folders are reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.evaluation import Evaluation, truth_clips
from lsinet_monai.evaluation.maps import find_maps
from lsinet_monai.evaluation.truth import list_cases

Score = Callable[..., Evaluation]

UNSEEN, SEEN = "TestEasyDataset/Unseen", "TestHardDataset/Seen"


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_clips_of_a_dataset(data: Path) -> None:
    _save(data / "truth" / UNSEEN / "Frame/case1/image9.jpg", np.zeros((20, 24, 3), np.uint8))
    clips = truth_clips({}, data / "truth")
    assert [clip.key for clip in clips] == [(UNSEEN, "case1"), (UNSEEN, "case10"), (SEEN, "case2")]
    assert clips[0].names == ("image8", "image9", "image10", "image11")
    assert clips[0].frames == {"image9": data / "truth" / UNSEEN / "Frame/case1/image9.jpg"} and not clips[1].frames
    mask = clips[0].mask(1)
    assert mask.dtype == bool and mask.shape == (20, 24) and mask[5:13, 5:15].all() and mask.sum() == 80


def test_negative_clips_have_empty_masks_of_their_frames_size(data: Path) -> None:
    _save(data / "negatives/case5/1.jpg", np.full((30, 40, 3), 90, np.uint8))
    clip = truth_clips({}, data / "truth", data / "negatives")[-1]
    assert clip.key == ("negative", "case5") and clip.masks is None and list(clip.frames) == ["1"]
    np.testing.assert_array_equal(clip.mask(0), np.zeros((30, 40), bool))


def test_list_cases(data: Path) -> None:
    folder = data / "maps" / UNSEEN
    assert {case: len(images) for case, images in list_cases(folder, "maps").items()} == {"case1": 4, "case10": 4}
    assert list(list_cases(folder / "case1", "maps")) == [""]
    with pytest.raises(InputError, match="none: no such folder; give a folder of maps"):
        list_cases(data / "none", "maps")


NFC, NFD = "k\u00e4se/f\u00e4lle", "ka\u0308se/fa\u0308lle"


@pytest.mark.parametrize(("of_masks", "of_others"), [(NFC, NFD), (NFD, NFC)])
def test_nested_cases_match_however_their_letters_are_written(data: Path, of_masks: str, of_others: str) -> None:
    split = data / "truth" / UNSEEN
    for folder, name in ((split / "GT", of_masks), (data / "maps" / UNSEEN, of_others)):
        (folder / name).parent.mkdir()
        (folder / "case1").rename(folder / name)
    frame = split / "Frame" / of_others / "image9.jpg"
    _save(frame, np.zeros((20, 24, 3), np.uint8))
    clips = truth_clips({}, data / "truth")
    clip = next(clip for clip in clips if clip.key == (UNSEEN, NFC))
    assert clip.frames == {"image9": frame}
    found = find_maps("ours", data / "maps", clips)
    assert found.maps[clip.key][0] == data / "maps" / UNSEEN / of_others / "image8.png"
    assert not found.problems and not found.notices


@pytest.mark.parametrize("is_negative", [False, True])
def test_one_case_that_is_the_given_folder_matches_too(data: Path, is_negative: bool) -> None:
    truth = data / "lone/fa\u0308lle"
    (data / "lone").mkdir()
    (data / "truth" / UNSEEN / "GT/case1").rename(truth)
    clips = truth_clips({}, data / "truth", truth) if is_negative else truth_clips({}, truth)
    assert clips[-1].case == "f\u00e4lle"


def test_two_cases_of_one_name_are_refused(data: Path) -> None:
    for name in ("fa\u0308lle", "f\u00e4lle"):
        _save(data / "both" / name / "1.png", np.zeros((20, 24), np.uint8))
    with pytest.raises(InputError, match="has the name of another folder, but for how its letters are written: rename"):
        list_cases(data / "both", "maps")


@pytest.mark.parametrize("truth", [f"truth/{UNSEEN}/GT", f"truth/{UNSEEN}"])
def test_a_lone_folder_is_the_split_all(data: Path, truth: str, score: Score) -> None:
    (scores,) = score(truth, f"maps/{UNSEEN}").scores()["ours"].items()
    assert scores[0] == "all"
    assert scores[1]["dataset"]["maxDice"] == pytest.approx(0.9)


def test_one_clip_without_a_case_folder(data: Path, score: Score) -> None:
    (scores,) = score(f"truth/{UNSEEN}/GT/case10", f"maps/{UNSEEN}/case10").scores()["ours"].values()
    assert list(scores["cases"]) == ["case10"]


def test_the_training_split_is_scored_if_there_are_maps_of_it(data: Path, score: Score) -> None:
    shutil.copytree(data / "truth" / UNSEEN, data / "truth" / "TrainDataset")
    assert "TrainDataset" not in score().results["ours"]
    shutil.copytree(data / "maps" / UNSEEN, data / "maps" / "TrainDataset")
    assert "TrainDataset" in score().results["ours"]


def _no_truth(data: Path) -> None:
    shutil.rmtree(data / "truth")


def _empty_truth(data: Path) -> None:
    _no_truth(data)
    (data / "truth").mkdir()


def _no_gt_of_a_split(data: Path) -> None:
    shutil.rmtree(data / "truth" / SEEN / "GT")


def _empty_gt_of_a_split(data: Path) -> None:
    shutil.rmtree(data / "truth" / SEEN / "GT" / "case2")


def _no_split_for_some_maps(data: Path) -> None:
    shutil.rmtree(data / "truth" / "TestHardDataset")


def _truth_of_two_splits_as_one(data: Path) -> None:
    (data / "truth").rename(data / "other")
    shutil.move(data / "other" / "TestEasyDataset", data / "truth")


BAD_FOLDERS: list[tuple[Callable[[Path], None], str]] = [
    (_no_truth, "truth: no such folder"),
    (_empty_truth, "truth: holds no masks"),
    (_no_gt_of_a_split, f"{SEEN} has no truth"),
    (_empty_gt_of_a_split, f"truth/{SEEN}/GT: holds no masks"),
    (_no_split_for_some_maps, f"maps/{SEEN} has maps of a split without truth"),
    (_truth_of_two_splits_as_one, "holds more than masks"),
]


@pytest.mark.parametrize(("damage", "message"), BAD_FOLDERS, ids=[case[0].__name__ for case in BAD_FOLDERS])
def test_bad_folders(data: Path, damage: Callable[[Path], None], message: str, score: Score) -> None:
    damage(data)
    with pytest.raises(InputError, match=message) as caught:
        score()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("folder", "is_negative"), [("GT/case1", False), ("negatives/case5", True)])
def test_two_files_of_one_frame_are_refused(tmp_path: Path, folder: str, is_negative: bool) -> None:
    for name in (f"{folder}/1.png", f"{folder}/1.bmp", "GT/case2/1.png"):
        _save(tmp_path / name, np.zeros((20, 24), np.uint8))
    negatives = tmp_path / "negatives" if is_negative else None
    with pytest.raises(InputError, match=rf"{folder}/1\.\w+: 1\.\w+ is of the same frame; remove one"):
        truth_clips({}, tmp_path / "GT", negatives)


NAMES = st.sampled_from(["a.png", "a.bmp", "a_mask.png", "a-gt.png", "b.png", "b_mask.png", "b.jpg.png", "c_mask.bmp"])


@given(st.sets(NAMES, min_size=1), st.sets(NAMES, min_size=1))
def test_a_map_is_scored_with_the_mask_of_its_own_frame(
    tmp_path_factory: pytest.TempPathFactory, masks: set[str], maps: set[str]
) -> None:
    root = tmp_path_factory.mktemp("names")
    for folder, names in (("GT/case1", masks), ("maps/case1", maps)):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).touch()
    try:
        clips = truth_clips({}, root / "GT")
        found = find_maps("method", root / "maps", clips)
    except InputError as error:
        assert "\n" not in str(error)
        return
    ((clip, paths),) = zip(clips, found.maps.values(), strict=True)
    assert clip.masks is not None and len(clip.masks) == len(masks)
    used = [path for path in paths if path is not None]
    assert len(set(used)) == len(used)
    assert all(path is None or path.name[0] == name[0] for path, name in zip(paths, clip.names, strict=True))
    # Each map is scored, or said.
    said = " ".join([*found.problems, *found.notices])
    assert all(path in used or str(path) in said for path in (root / "maps/case1").iterdir())
    # Each frame has a map, or its lack is said.
    assert all(paths) or said


def test_a_mask_whose_content_is_not_fetched_is_named(tmp_path: Path) -> None:
    _save(tmp_path / "case1" / "1.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "case1" / "2.png").symlink_to(".git/annex/objects/x")
    with pytest.raises(InputError, match=r"2\.png: is a link to \.git/annex/objects/x, which is not there: fetch"):
        list_cases(tmp_path, "masks")
