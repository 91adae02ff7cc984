"""Images and splits of a dataset, for the tests of how clips are found and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def write_image() -> Callable[..., None]:
    def write(path: Path, size: tuple[int, int] = (12, 16), mode: str = "RGB") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (size[1], size[0])).save(path)

    return write


@pytest.fixture
def write_split(write_image: Callable[..., None]) -> Callable[..., None]:
    """Write frames and masks in SUN-SEG's layout."""

    def write(
        root: Path, split: str = "TrainDataset", cases: Sequence[str] = ("case1", "case2"), frames: int = 3
    ) -> None:
        for case in cases:
            for frame in range(1, frames + 1):
                write_image(root / split / "Frame" / case / f"image{frame}.jpg")
                write_image(root / split / "GT" / case / f"image{frame}.png", mode="L")

    return write
