"""Parity with SUN-SEG's evaluation toolbox: metrics.json has its scores of predictions that recipe.py makes."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.evaluation import score_folders
from lsinet_monai.metrics import BENCHMARK_SCORES

pytestmark = pytest.mark.required_in_ci

HERE = Path(__file__).parent
SPLIT = "TestEasyDataset/Unseen"
REFERENCE = json.loads((HERE / "metrics.json").read_text())


@pytest.fixture(scope="module")
def scores(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("parity_recipe", HERE / "recipe.py")
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    maps = tmp_path_factory.mktemp("maps")
    for path in (real_data / SPLIT / "GT").rglob("*.png"):
        image_number, case_number = (int(re.findall(r"\d+", name)[-1]) for name in (path.stem, path.parent.name))
        with Image.open(path) as mask:
            seed = REFERENCE["seed"] + image_number + 1000 * case_number
            prediction = recipe.prediction(np.asarray(mask.convert("L")), seed)
        (maps / SPLIT / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(prediction).save(maps / SPLIT / path.parent.name / path.name)
    evaluation = score_folders({"recipe": maps}, real_data, progress=False)
    frames = sum(clip.benchmark_frames for clip in evaluation.results["recipe"][SPLIT].values())
    assert frames == REFERENCE["frames_scored"]
    return evaluation.scores()["recipe"][SPLIT]


def test_the_dataset(scores: dict[str, Any]) -> None:
    assert set(REFERENCE["dataset"]) == set(BENCHMARK_SCORES)
    for name, expected in REFERENCE["dataset"].items():
        assert scores["dataset"][name] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("case", REFERENCE["cases"])
def test_every_case(scores: dict[str, Any], case: str) -> None:
    for name, expected in REFERENCE["cases"][case].items():
        assert scores["cases"][case][name] == pytest.approx(expected, abs=1e-6), name
