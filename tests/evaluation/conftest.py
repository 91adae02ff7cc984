"""Shared by the tests of evaluation: small splits of maps that are known to be right or wrong, and a phantom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lsinet_monai.data import phantom_clip
from lsinet_monai.evaluation import Evaluation, score_folders

UNSEEN, SEEN = "TestEasyDataset/Unseen", "TestHardDataset/Seen"


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """``truth`` and ``maps`` of two splits with two clips and one; the second split's maps are wrong.

    A clip has four frames of a square that moves; its maps are the square, moved by some pixels more.
    """
    for split, case, wrong in ((UNSEEN, "case1", 0), (UNSEEN, "case10", 2), (SEEN, "case2", 10)):
        for t in range(4):
            mask = np.zeros((20, 24), np.uint8)
            mask[4 + t : 12 + t, 5:15] = 255
            _save(tmp_path / "truth" / split / "GT" / case / f"image{t + 8}.png", mask)
            _save(tmp_path / "maps" / split / case / f"image{t + 8}.png", np.roll(mask, wrong, axis=1) // 255 * 230 + 5)
    return tmp_path


@pytest.fixture
def score(data: Path) -> Callable[..., Evaluation]:
    """Score ``maps`` against ``truth``, or other folders in ``data``, on one core."""

    def run(truth: str = "truth", maps: str = "maps", **options: Any) -> Evaluation:
        return score_folders({"ours": data / maps}, data / truth, progress=False, processes=1, **options)

    return run


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of five frames as a test split, and maps of them: blurred masks, and empty ones."""
    folder = tmp_path_factory.mktemp("phantom")
    for case, seed in (("case1", 1), ("case2", 2)):
        for number, (frame, mask) in enumerate(phantom_clip(5, (72, 90), seed)):
            images = {
                "data/SPLIT/Frame": frame,
                "data/SPLIT/GT": mask,
                "blurred/SPLIT": ndimage.gaussian_filter(mask, 2),
                "empty/SPLIT": 0 * mask,
            }
            for place, image in images.items():
                _save(folder / place.replace("SPLIT", UNSEEN) / case / f"{number}.png", image)
    return folder


@pytest.fixture(scope="session")
def evaluation(phantom: Path) -> Evaluation:
    """The phantom's two methods, scored."""
    methods = {method: phantom / method for method in ("blurred", "empty")}
    return score_folders(methods, phantom / "data", progress=False, processes=1)
