"""Scores of maps on disk, and the notices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.evaluation import Evaluation, score_folders
from lsinet_monai.evaluation.maps import MapProblems
from lsinet_monai.metrics import released_map

Score = Callable[..., Evaluation]

UNSEEN, SEEN = "TestEasyDataset/Unseen", "TestHardDataset/Seen"


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_splits_and_cases(data: Path, score: Score) -> None:
    evaluation = score()
    scores = evaluation.scores()["ours"]
    assert {split: list(values["cases"]) for split, values in scores.items()} == {
        UNSEEN: ["case1", "case10"],
        SEEN: ["case2"],
    }
    cases = scores[UNSEEN]["cases"]
    assert cases["case1"]["dice_at_0.5"] == cases["case1"]["maxDice"] == 1
    # Moved by 2 of 10 columns.
    assert cases["case10"]["dice_at_0.5"] == pytest.approx(0.8)
    assert scores[UNSEEN]["dataset"]["maxDice"] == pytest.approx(0.9)
    assert scores[SEEN]["dataset"]["maxDice"] < 0.3
    assert evaluation.notices == []


def test_several_methods_of_which_one_lacks_a_split(data: Path) -> None:
    shutil.copytree(data / "maps" / SEEN, data / "other" / SEEN)
    evaluation = score_folders({"a": data / "maps", "b": data / "other"}, data / "truth", progress=False, processes=1)
    assert {method: list(splits) for method, splits in evaluation.results.items()} == {"a": [UNSEEN, SEEN], "b": [SEEN]}
    assert evaluation.scores()["b"][SEEN] == evaluation.scores()["a"][SEEN]
    assert evaluation.notices == [f"b: no maps of {UNSEEN}: it is not scored"]


def test_a_split_without_maps_is_noticed(data: Path, score: Score) -> None:
    shutil.rmtree(data / "maps" / SEEN)
    evaluation = score()
    assert list(evaluation.results["ours"]) == [UNSEEN]
    assert evaluation.notices == [f"ours: no maps of {SEEN}: it is not scored"]


def test_negative_clips(data: Path, score: Score) -> None:
    for t in range(4):
        _save(data / "negatives/case5" / f"{t}.jpg", np.zeros((20, 24, 3), np.uint8))
        _save(data / "maps/negative/case5" / f"{t}.png", np.full((20, 24), 200 if t == 1 else 10, np.uint8))
    evaluation = score(negative_dir=data / "negatives")
    dataset = evaluation.scores(frames_per_second=10)["ours"]["negative"]["dataset"]
    assert dataset["negative_frames"] == 4
    assert dataset["false_positives_per_minute"] == pytest.approx(1 / (4 / 10 / 60))
    assert dataset["maxDice"] is None  # it would be 0 for any prediction
    assert evaluation.notices == []


def test_frames_without_a_polyp_in_the_benchmark_are_noticed(data: Path, score: Score) -> None:
    _save(data / "truth" / UNSEEN / "GT/case1/image9.png", np.zeros((20, 24), np.uint8))
    (notice,) = score().notices
    assert notice.startswith("1 frame shows no polyp")


def test_stretched_maps_of_frames_without_a_polyp_are_noticed(data: Path, score: Score) -> None:
    for path in (data / "maps").rglob("*.png"):
        _save(path, np.arange(480, dtype=np.uint16).reshape(20, 24).clip(0, 255).astype(np.uint8))
    _save(data / "truth" / UNSEEN / "GT/case1/image9.png", np.zeros((20, 24), np.uint8))
    assert any("look stretched" in notice for notice in score().notices)


def test_maps_of_the_released_program_are_noticed_as_stretched(data: Path, score: Score) -> None:
    # A frame without a polyp has a narrow range of probabilities; the released program saves its peak as 254.
    narrow = released_map(np.linspace(0.01, 0.02, 480, dtype=np.float32).reshape(20, 24))
    assert (narrow.min(), narrow.max()) == (0, 254)
    for path in (data / "maps").rglob("*.png"):
        _save(path, narrow)
    _save(data / "truth" / UNSEEN / "GT/case1/image9.png", np.zeros((20, 24), np.uint8))
    assert any("look stretched" in notice for notice in score().notices)


def test_processes_give_the_same_scores(data: Path, score: Score) -> None:
    parallel = score_folders({"ours": data / "maps"}, data / "truth", progress=False, processes=3)
    assert parallel.scores() == score().scores()


# how truth and maps of the same masks are drawn: a value, or a colour of a palette
MASKS = [(1, 1), (255, 1), (1, 255), (128, 128), (255, (128, 0, 0)), ((250, 50, 83), 255)]


@pytest.mark.parametrize(("truth", "maps"), MASKS)
def test_masks_of_any_value_score_like_those_of_255(tmp_path: Path, truth: Any, maps: Any) -> None:
    def save(folder: str, mask: np.ndarray, name: str, value: Any) -> None:
        image = Image.fromarray(mask.astype(np.uint8) * (value if isinstance(value, int) else 1))
        if not isinstance(value, int):
            image.putpalette([0, 0, 0, *value])
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / folder / name)

    for t in range(4):
        mask = np.zeros((20, 24), bool)
        mask[4 + t : 12 + t, 5:15] = True
        save("GT/case1", mask, f"{t}.png", truth)
        save("right/case1", mask, f"{t}.png", maps)
        save("wrong/case1", np.roll(mask, 12, axis=1), f"{t}_mask.png", maps)
    methods = {name: tmp_path / name for name in ("right", "wrong")}
    evaluation = score_folders(methods, tmp_path / "GT", progress=False, processes=1)
    dice = [evaluation.scores()[name]["all"]["dataset"]["dice_at_0.5"] for name in methods]
    assert dice[0] == 1 and dice[1] < 0.2
    notices = [notice for notice in evaluation.notices if "the maps are masks, not probabilities" in notice]
    assert len(notices) == (0 if maps == 255 else 2)


def test_a_clip_whose_maps_are_0_and_1_is_noticed(data: Path, score: Score) -> None:
    for path in (data / "truth" / UNSEEN / "GT" / "case1").iterdir():
        _save(data / "maps" / UNSEEN / "case1" / path.name, np.array(Image.open(path)) // 255)
    assert [notice for notice in score().notices if "probabilities" in notice] == [
        f"ours: {UNSEEN}/case1: its maps hold only 0 and 1, those of other clips more; they are scored as "
        "probabilities: if they are masks, save them as 0 and 255"
    ]


@pytest.mark.parametrize("clips", [[f"{UNSEEN}/case10"], [f"{UNSEEN}/case1", f"{UNSEEN}/case10"]])
@pytest.mark.parametrize("as_masks", [False, True])
def test_inverted_maps_are_noticed_and_scored_as_they_are(
    data: Path, score: Score, clips: list[str], as_masks: bool
) -> None:
    shutil.rmtree(data / "maps" / SEEN)
    for path in (data / "maps").rglob("*.png"):
        map_ = np.array(Image.open(path))
        map_ = np.where(map_ > 127, 255, 0).astype(np.uint8) if as_masks else map_
        _save(path, 255 - map_ if path.parent.name in [Path(clip).name for clip in clips] else map_)
    evaluation = score()
    notices = [notice for notice in evaluation.notices if "inverted" in notice]
    assert len(notices) == len(clips)
    for clip, notice in zip(clips, notices, strict=True):
        assert notice.startswith(f"ours: {clip}: its maps agree far better with the truth if inverted (mean error 0.")
        assert notice.endswith("scored as they are: if polyps are dark in them, save 255 minus each pixel")
    assert evaluation.scores()["ours"][UNSEEN]["cases"]["case10"]["dice_at_0.5"] < 0.1


def test_maps_that_are_all_faint_are_noticed(data: Path, score: Score) -> None:
    for path in (data / "maps").rglob("*.png"):
        _save(path, np.arange(480, dtype=np.uint16).reshape(20, 24).clip(0, 3).astype(np.uint8))
    assert any("no map is brighter than 3 of 255" in notice for notice in score().notices)


def test_a_coloured_map_among_grey_ones_is_a_problem(data: Path, score: Score) -> None:
    Image.new("RGB", (24, 20), (200, 0, 0)).save(data / "maps" / UNSEEN / "case1/image9.png")
    with pytest.raises(MapProblems, match=r"image9\.png: holds colours \(rgb\(200,0,0\)\), while other maps are grey"):
        score()


def test_masks_that_are_not_clear_need_a_value(data: Path, score: Score) -> None:
    for path in (data / "truth").rglob("*.png"):
        mask = np.asarray(Image.open(path)) // 255
        mask = np.where(np.arange(24) < 2, 2, mask)
        _save(path, mask.astype(np.uint8))
    with pytest.raises(InputError, match=r"they hold 0, 1, 2\. Give mask_values, such as 1"):
        score()
    assert score(mask_values=1).scores()["ours"][UNSEEN]["cases"]["case1"]["dice_at_0.5"] == 1
