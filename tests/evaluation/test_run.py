"""Scores of maps on disk, and the notices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.evaluation import Evaluation, score_folders
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


def test_a_split_without_maps_is_noticed(data: Path, score: Score) -> None:
    shutil.rmtree(data / "maps" / SEEN)
    evaluation = score()
    assert list(evaluation.results["ours"]) == [UNSEEN]
    assert evaluation.notices == [f"no maps of {SEEN}: it is not scored"]


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
