"""Masks of a disc, saved in the ways of many tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (40, 56)


def disc(x: int, radius: int = 9) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - 20) ** 2 + (columns - x) ** 2 < radius**2


DISCS = [disc(16), disc(22), disc(28)]


def with_palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colours)
    return image


def coloured(mask: np.ndarray, colour: tuple[int, ...], background: tuple[int, ...] = (0, 0, 0)) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], colour, background).astype(np.uint8))


def grey(mask: np.ndarray, value: int, background: int = 0) -> Image.Image:
    return Image.fromarray(np.where(mask, value, background).astype(np.uint8))


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., list[Path]]:
    """Save a mask of each disc, drawn by a function, and list the files."""

    def save(
        draw: Callable[[np.ndarray], Image.Image], suffix: str = "png", folder: str = "GT/case1", **options: int
    ) -> list[Path]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        paths = [tmp_path / folder / f"{number}.{suffix}" for number in range(len(DISCS))]
        for path, mask in zip(paths, DISCS, strict=True):
            draw(mask).save(path, **options)
        return paths

    return save
