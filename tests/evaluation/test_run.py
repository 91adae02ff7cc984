"""Maps on disk: layouts, and what is wrong with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.evaluation import MapProblems, score_folders

UNSEEN, SEEN = "TestEasyDataset/Unseen", "TestHardDataset/Seen"


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def _write_case(masks: Path, maps: Path, frames: int = 4, size: tuple[int, int] = (20, 24), wrong: int = 0) -> None:
    """A square that moves, and maps that are it, moved by some pixels more."""
    for t in range(frames):
        mask = np.zeros(size, np.uint8)
        mask[4 + t : 12 + t, 5:15] = 255
        _save(masks / f"image{t + 8}.png", mask)
        _save(maps / f"image{t + 8}.png", np.roll(mask, wrong, axis=1) // 255 * 230 + 5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two splits, of two clips and of one, in ``truth``, and in ``maps``; the second split's maps are wrong."""
    for split, case, wrong in ((UNSEEN, "case1", 0), (UNSEEN, "case10", 2), (SEEN, "case2", 10)):
        _write_case(tmp_path / "truth" / split / "GT" / case, tmp_path / "maps" / split / case, wrong=wrong)
    return tmp_path


def _score(data: Path, truth: str = "truth", maps: str = "maps", **options: object):
    return score_folders({"ours": data / maps}, data / truth, progress=False, processes=1, **options)


def test_splits_and_cases(data: Path) -> None:
    evaluation = _score(data)
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


@pytest.mark.parametrize("truth", [f"truth/{UNSEEN}/GT", f"truth/{UNSEEN}"])
def test_a_lone_folder_is_the_split_all(data: Path, truth: str) -> None:
    (scores,) = _score(data, truth, f"maps/{UNSEEN}").scores()["ours"].items()
    assert scores[0] == "all"
    assert scores[1]["dataset"]["maxDice"] == pytest.approx(0.9)


def test_one_clip_without_a_case_folder(data: Path) -> None:
    (scores,) = _score(data, f"truth/{UNSEEN}/GT/case10", f"maps/{UNSEEN}/case10").scores()["ours"].values()
    assert list(scores["cases"]) == ["case10"]


def test_several_methods_and_a_split_that_one_has_not(data: Path) -> None:
    shutil.copytree(data / "maps" / SEEN, data / "other" / SEEN)
    evaluation = score_folders({"a": data / "maps", "b": data / "other"}, data / "truth", progress=False, processes=1)
    assert {method: list(splits) for method, splits in evaluation.results.items()} == {"a": [UNSEEN, SEEN], "b": [SEEN]}
    assert evaluation.scores()["b"][SEEN] == evaluation.scores()["a"][SEEN]


def test_a_split_of_which_nobody_has_maps_is_said(data: Path) -> None:
    shutil.rmtree(data / "maps" / SEEN)
    evaluation = _score(data)
    assert list(evaluation.results["ours"]) == [UNSEEN]
    assert evaluation.notices == [f"no maps of {SEEN}: it is not scored"]


def test_the_training_split_is_scored_if_there_are_maps_of_it(data: Path) -> None:
    shutil.copytree(data / "truth" / UNSEEN, data / "truth" / "TrainDataset")
    assert "TrainDataset" not in _score(data).results["ours"]
    shutil.copytree(data / "maps" / UNSEEN, data / "maps" / "TrainDataset")
    assert "TrainDataset" in _score(data).results["ours"]


def test_negative_clips(data: Path) -> None:
    for t in range(4):
        _save(data / "negatives/case5" / f"{t}.jpg", np.zeros((20, 24, 3), np.uint8))
        _save(data / "maps/negative/case5" / f"{t}.png", np.full((20, 24), 200 if t == 1 else 10, np.uint8))
    evaluation = _score(data, negative_dir=data / "negatives")
    dataset = evaluation.scores(frames_per_second=10)["ours"]["negative"]["dataset"]
    assert dataset["negative_frames"] == 4
    assert dataset["false_positives_per_minute"] == pytest.approx(1 / (4 / 10 / 60))
    assert dataset["maxDice"] is None  # it would be 0 whatever is predicted
    assert evaluation.notices == []


def test_frames_without_a_polyp_in_the_benchmark_are_noticed(data: Path) -> None:
    _save(data / "truth" / UNSEEN / "GT/case1/image9.png", np.zeros((20, 24), np.uint8))
    (notice,) = _score(data).notices
    assert notice.startswith("1 frame shows no polyp")


def test_stretched_maps_of_frames_without_a_polyp_are_noticed(data: Path) -> None:
    for path in (data / "maps").rglob("*.png"):
        _save(path, np.arange(480, dtype=np.uint16).reshape(20, 24).clip(0, 255).astype(np.uint8))
    _save(data / "truth" / UNSEEN / "GT/case1/image9.png", np.zeros((20, 24), np.uint8))
    assert any("look stretched" in notice for notice in _score(data).notices)


def test_the_first_and_the_last_map_may_be_missing(data: Path) -> None:
    whole = _score(data).scores()["ours"][UNSEEN]["dataset"]
    for name in ("image8", "image11"):
        (data / "maps" / UNSEEN / "case10" / f"{name}.png").unlink()
    evaluation = _score(data)
    assert evaluation.scores()["ours"][UNSEEN]["dataset"]["maxDice"] == whole["maxDice"]
    assert any("case10" in notice and "first or last" in notice for notice in evaluation.notices)


def test_maps_of_any_mode_and_extra_maps(data: Path) -> None:
    expected = _score(data).scores()
    path = data / "maps" / UNSEEN / "case1" / "image9.png"
    with Image.open(path) as image:
        image.convert("RGB").save(path.with_suffix(".bmp"))
    path.unlink()
    for extra in ("case1/image77.png", "case99/image8.png"):
        shutil.copy(data / "maps" / UNSEEN / "case1" / "image10.png", data / "maps" / UNSEEN / "extra.png")
        (data / "maps" / UNSEEN / extra).parent.mkdir(exist_ok=True)
        (data / "maps" / UNSEEN / "extra.png").rename(data / "maps" / UNSEEN / extra)
    evaluation = _score(data)
    assert evaluation.scores() == expected
    assert [Path(notice.partition(":")[0]).name for notice in evaluation.notices] == ["image77.png", "image8.png"]


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _resize(path: Path) -> None:
    _save(path, np.zeros((24, 20), np.uint8))


def _16_bit(path: Path) -> None:
    _save(path, np.zeros((20, 24), np.uint16))


def _twice(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".bmp"))


PROBLEMS: list[tuple[Callable[[Path], None], str]] = [
    (_remove, "is missing"),
    (_truncate, "cannot be read"),
    (_empty, "is empty"),
    (_resize, "is 24x20 but its mask is 20x24"),
    (_16_bit, "more than 8 bits"),
    (_twice, "a map of the same frame"),
]


@pytest.mark.parametrize(("damage", "message"), PROBLEMS, ids=[case[0].__name__ for case in PROBLEMS])
@pytest.mark.parametrize("processes", [1, 2])
def test_every_problem_is_named(data: Path, damage: Callable[[Path], None], message: str, processes: int) -> None:
    damaged = [data / "maps" / UNSEEN / "case1/image9.png", data / "maps" / SEEN / "case2/image10.png"]
    for path in damaged:
        damage(path)
    with pytest.raises(MapProblems, match=message) as caught:
        score_folders({"ours": data / "maps"}, data / "truth", progress=False, processes=processes)
    assert len(caught.value.problems) == 2
    assert all(any(str(path.with_suffix("")) in problem for problem in caught.value.problems) for path in damaged)


def test_problems_of_all_kinds_are_named_at_once_and_what_else_was_found(data: Path) -> None:
    folder = data / "maps" / UNSEEN / "case1"
    (folder / "image9.png").rename(folder / "image009.png")
    _empty(folder / "image10.png")
    _resize(data / "maps" / SEEN / "case2" / "image10.png")
    with pytest.raises(MapProblems, match=r"^3 problems") as caught:
        _score(data)
    for problem in ("image9.png is missing", "image10.png: is empty", "is 24x20 but its mask is 20x24"):
        assert any(problem in line for line in caught.value.problems)
    assert caught.value.notices == [f"{folder / 'image009.png'}: has no truth, and is not scored"]


def test_a_damaged_mask_is_one_problem_whatever_the_number_of_methods(data: Path) -> None:
    _damaged_mask(data)
    methods = {name: data / "maps" for name in ("a", "b")}
    with pytest.raises(MapProblems, match=r"^1 problem "):
        score_folders(methods, data / "truth", progress=False, processes=1)


def test_many_problems_are_counted(data: Path) -> None:
    _write_case(data / "truth" / UNSEEN / "GT" / "case3", data / "maps" / UNSEEN / "case3", frames=20, size=(40, 24))
    for path in (data / "maps" / UNSEEN / "case3").iterdir():
        _empty(path)
    with pytest.raises(MapProblems, match=r"^20 problems .* and 10 more$") as caught:
        _score(data)
    assert len(caught.value.problems) == 20


def _no_maps_of_a_case(data: Path) -> None:
    shutil.rmtree(data / "maps" / UNSEEN / "case10")


def _no_maps(data: Path) -> None:
    shutil.rmtree(data / "maps")
    (data / "maps").mkdir()


def _no_maps_folder(data: Path) -> None:
    shutil.rmtree(data / "maps")


def _empty_split_of_maps(data: Path) -> None:
    shutil.rmtree(data / "maps" / SEEN / "case2")


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


def _maps_of_a_lone_folder(data: Path) -> None:
    (data / "maps" / UNSEEN).rename(data / "lone")
    _no_maps_folder(data)
    (data / "lone").rename(data / "maps")


def _truth_of_two_splits_as_one(data: Path) -> None:
    (data / "truth").rename(data / "other")
    shutil.move(data / "other" / "TestEasyDataset", data / "truth")


def _damaged_mask(data: Path) -> None:
    _truncate(data / "truth" / UNSEEN / "GT" / "case1" / "image9.png")


BAD_FOLDERS: list[tuple[Callable[[Path], None], str]] = [
    (_no_maps_of_a_case, f"maps/{UNSEEN}/case10 has no maps; the truth has 4 frames"),
    (_no_maps, "maps: holds no maps where the truth has its splits"),
    (_no_maps_folder, "maps: no such folder"),
    (_empty_split_of_maps, f"maps/{SEEN}: holds no maps"),
    (_no_truth, "truth: no such folder"),
    (_empty_truth, "truth: holds no masks"),
    (_no_gt_of_a_split, f"{SEEN} has no truth"),
    (_empty_gt_of_a_split, f"truth/{SEEN}/GT: holds no masks"),
    (_no_split_for_some_maps, f"maps/{SEEN} has maps of a split without truth"),
    (_maps_of_a_lone_folder, "give the GT folder of its split as truth"),
    (_truth_of_two_splits_as_one, "holds more than masks"),
    (_damaged_mask, "case1/image9.png: cannot be read"),
]


@pytest.mark.parametrize(("damage", "message"), BAD_FOLDERS, ids=[case[0].__name__ for case in BAD_FOLDERS])
def test_bad_folders(data: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(data)
    with pytest.raises(InputError, match=message) as caught:
        _score(data)
    assert "\n" not in str(caught.value)


def test_processes_give_the_same_scores(data: Path) -> None:
    parallel = score_folders({"ours": data / "maps"}, data / "truth", progress=False, processes=3)
    assert parallel.scores() == _score(data).scores()
