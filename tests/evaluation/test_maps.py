"""Maps on disk: which ones are found, and which problems are reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.evaluation import Evaluation, MapProblems, score_folders, truth_clips
from lsinet_monai.evaluation.maps import MapError, find_maps, read_map_and_mask

Score = Callable[..., Evaluation]

UNSEEN, SEEN = "TestEasyDataset/Unseen", "TestHardDataset/Seen"


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


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


def test_problems_of_all_kinds_are_named_at_once_with_the_notices(data: Path, score: Score) -> None:
    folder = data / "maps" / UNSEEN / "case1"
    (folder / "image9.png").rename(folder / "image009.png")
    _empty(folder / "image10.png")
    _resize(data / "maps" / SEEN / "case2" / "image10.png")
    with pytest.raises(MapProblems, match=r"^3 problems") as caught:
        score()
    for problem in ("image9.png is missing", "image10.png: is empty", "is 24x20 but its mask is 20x24"):
        assert any(problem in line for line in caught.value.problems)
    assert caught.value.notices == [f"{folder / 'image009.png'}: has no truth, so it is not scored"]


def test_a_damaged_mask_is_one_problem_whatever_the_number_of_methods(data: Path) -> None:
    _damaged_mask(data)
    methods = {name: data / "maps" for name in ("a", "b")}
    with pytest.raises(MapProblems, match=r"^1 problem "):
        score_folders(methods, data / "truth", progress=False, processes=1)


def test_many_problems_are_counted(data: Path, score: Score) -> None:
    for name in range(20):
        _save(data / "truth" / UNSEEN / "GT" / "case3" / f"{name}.png", np.zeros((20, 24), np.uint8))
        _save(data / "maps" / UNSEEN / "case3" / f"{name}.png", np.zeros((20, 24), np.uint8))
        _empty(data / "maps" / UNSEEN / "case3" / f"{name}.png")
    with pytest.raises(MapProblems, match=r"^20 problems .* and 10 more$") as caught:
        score()
    assert len(caught.value.problems) == 20


def test_the_first_and_the_last_map_may_be_missing(data: Path, score: Score) -> None:
    whole = score().scores()["ours"][UNSEEN]["dataset"]
    for name in ("image8", "image11"):
        (data / "maps" / UNSEEN / "case10" / f"{name}.png").unlink()
    evaluation = score()
    assert evaluation.scores()["ours"][UNSEEN]["dataset"]["maxDice"] == whole["maxDice"]
    assert any("case10" in notice and "first or last" in notice for notice in evaluation.notices)


def test_maps_of_any_mode_and_extra_maps(data: Path, score: Score) -> None:
    expected = score().scores()
    path = data / "maps" / UNSEEN / "case1" / "image9.png"
    with Image.open(path) as image:
        image.convert("RGB").save(path.with_suffix(".bmp"))
    path.unlink()
    for extra in ("case1/image77.png", "case99/image8.png"):
        shutil.copy(data / "maps" / UNSEEN / "case1" / "image10.png", data / "maps" / UNSEEN / "extra.png")
        (data / "maps" / UNSEEN / extra).parent.mkdir(exist_ok=True)
        (data / "maps" / UNSEEN / "extra.png").rename(data / "maps" / UNSEEN / extra)
    evaluation = score()
    assert evaluation.scores() == expected
    assert [Path(notice.partition(":")[0]).name for notice in evaluation.notices] == ["image77.png", "image8.png"]


def test_decomposed_letters_of_names_do_not_matter(data: Path) -> None:
    maps, truth = data / "maps" / UNSEEN, data / "truth" / UNSEEN / "GT"
    for folder, name in ((maps, "fa\u0308lle"), (truth, "f\u00e4lle")):
        (folder / "case1").rename(folder / name)
        (folder / name / "image9.png").rename(folder / name / f"image9_{name}.png")
    found = find_maps("ours", data / "maps", truth_clips({}, data / "truth"))
    assert maps / "fa\u0308lle" / "image9_fa\u0308lle.png" in found.maps[UNSEEN, "f\u00e4lle"]
    assert not found.problems and not found.notices


def test_find_maps(data: Path) -> None:
    clips = truth_clips({}, data / "truth")
    folder = data / "maps" / UNSEEN / "case1"
    (folder / "image8.png").unlink()
    found = find_maps("ours", data / "maps", clips)
    assert list(found.maps) == [(UNSEEN, "case1"), (UNSEEN, "case10"), (SEEN, "case2")]
    assert found.maps[UNSEEN, "case1"] == [None, *(folder / f"image{t}.png" for t in (9, 10, 11))]
    assert found.problems == [] and len(found.notices) == 1
    assert find_maps("ours", data / "maps", clips[:1]).notices[1:] == [
        f"{data / 'maps' / UNSEEN / 'case10' / f'image{t}.png'}: has no truth, so it is not scored"
        for t in (8, 9, 10, 11)
    ]


def test_read_map_and_mask(data: Path) -> None:
    clip = truth_clips({}, data / "truth")[0]
    path = data / "maps" / UNSEEN / "case1/image9.png"
    map_, mask = read_map_and_mask(path, clip, 1)
    assert (map_.dtype, mask.dtype, map_.shape) == (np.uint8, bool, mask.shape)
    np.testing.assert_array_equal(map_, np.where(mask, 235, 5))
    _resize(path)
    with pytest.raises(InputError, match=r"image9.png: is 24x20 but its mask is 20x24; make them the same size"):
        read_map_and_mask(path, clip, 1)


def _no_maps_of_a_case(data: Path) -> None:
    shutil.rmtree(data / "maps" / UNSEEN / "case10")


def _no_maps(data: Path) -> None:
    shutil.rmtree(data / "maps")
    (data / "maps").mkdir()


def _no_maps_folder(data: Path) -> None:
    shutil.rmtree(data / "maps")


def _empty_split_of_maps(data: Path) -> None:
    shutil.rmtree(data / "maps" / SEEN / "case2")


def _maps_of_a_lone_folder(data: Path) -> None:
    (data / "maps" / UNSEEN).rename(data / "lone")
    _no_maps_folder(data)
    (data / "lone").rename(data / "maps")


def _damaged_mask(data: Path) -> None:
    _truncate(data / "truth" / UNSEEN / "GT" / "case1" / "image9.png")


BAD_FOLDERS: list[tuple[Callable[[Path], None], str]] = [
    (_no_maps_of_a_case, f"maps/{UNSEEN}/case10 has no maps; the truth has 4 frames"),
    (_no_maps, "maps: holds no maps of the truth's splits, such as "),
    (_no_maps_folder, "maps: no such folder"),
    (_empty_split_of_maps, f"maps/{SEEN}: holds no maps"),
    (_maps_of_a_lone_folder, "give the GT folder of its split as truth"),
    (_damaged_mask, "case1/image9.png: cannot be read"),
]


@pytest.mark.parametrize(("damage", "message"), BAD_FOLDERS, ids=[case[0].__name__ for case in BAD_FOLDERS])
def test_bad_folders(data: Path, damage: Callable[[Path], None], message: str, score: Score) -> None:
    damage(data)
    with pytest.raises(InputError, match=message) as caught:
        score()
    assert "\n" not in str(caught.value)


SMALL, LARGE = np.zeros((2, 20, 20), bool)
SMALL[4:8, 4:8], LARGE[1:] = True, True
ERRORS = [
    ("right", SMALL * 255, SMALL, 0, False),
    ("inverted", 255 - SMALL * 255, SMALL, 1, True),
    ("not much better if inverted", np.full((20, 20), 190) - SMALL * 180, SMALL, 0.754, False),
    ("white", np.full((20, 20), 255), SMALL, 0.96, False),
    ("no polyp found, which fills the view", np.zeros((20, 20)), LARGE, 0.95, False),
    ("a large one, inverted", 255 - LARGE * 255, LARGE, 1, True),
    ("no polyp, inverted", np.full((20, 20), 255), SMALL & False, 1, True),
    ("no polyp, bright by its own range", np.full((20, 20), 190), SMALL & False, 0.745, False),
]


@pytest.mark.parametrize(("_", "map_", "mask", "mean", "is_inverted"), ERRORS, ids=[case[0] for case in ERRORS])
def test_maps_that_are_inverted(_: str, map_: np.ndarray, mask: np.ndarray, mean: float, is_inverted: bool) -> None:
    error = MapError()
    assert error.mean == 0 and not error.is_inverted
    for _frame in range(3):
        error.add(map_.astype(np.uint8), mask)
    assert error.mean == pytest.approx(mean, abs=1e-3) and error.is_inverted == is_inverted
