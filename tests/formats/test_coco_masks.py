from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats.coco_masks import draw_annotation

SIZE = (64, 96)
POLYGON = [[10, 20, 40, 20, 40, 50, 10, 50]]  # 30 x 30 pixels from x 10, y 20 on


def _square() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[20:50, 10:40] = True
    return mask


def _runs(values: np.ndarray) -> list[int]:
    """Run lengths of a flat mask, the background's first."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], values.astype(int)])))
    return np.diff(np.concatenate([[0], changes, [len(values)]])).tolist()


def _draw(segmentation: Any, **entry: Any) -> np.ndarray:
    return draw_annotation(Path("a.json"), {"id": 7, "segmentation": segmentation, **entry}, SIZE)


# Boxes that say nothing, or where the square is: as x, y, width and height, by its corners, or a little beside it.
BOXES: list[Any] = [
    None, [10, 20, 30, 30], [10, 20, 40, 50], [9, 18.5, 33, 32], [0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4],
    [10, 20], "10 20 30 30", ["10", 20, 30, 30], [float("nan"), 20, 30, 30],
]  # fmt: skip


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_a_mask_in_its_box(box: Any) -> None:
    for segmentation in (POLYGON, {"size": [64, 96], "counts": _runs(_square().ravel("F"))}):
        np.testing.assert_array_equal(_draw(segmentation, bbox=box), _square())


@pytest.mark.parametrize(
    ("polygons", "box"),
    [
        ([[10, 20, 40, 20, 40, 50, 10, 50], [70, 20, 80, 30]], [10, 20, 70, 30]),  # a line beside it
        ([[10, 20, 40, 20, 40, 34.9, 90, 35, 40, 35.1, 40, 50, 10, 50]], [10, 20, 80, 30]),  # a thin tail
        ([[10, 20, 40, 20, 40, 50, 10, 50]], [10, 20, 30, 30]),
    ],
)
def test_a_box_around_the_points_of_polygons(polygons: list, box: list[float]) -> None:
    assert _draw(polygons, bbox=box)[30, 20]


def test_a_box_ends_at_the_frame() -> None:
    beyond = [[70, 20, 104, 20, 104, 50, 70, 50]]
    assert _draw(beyond, bbox=[70, 20, 34, 30])[30, 70:].all()


_COLUMNS = _runs(_square().ravel("F"))
WRONG = [
    ("along the rows", {"size": [64, 96], "counts": _runs(_square().ravel())}),
    ("without the background's first", {"size": [64, 96], "counts": [*_COLUMNS[1:], _COLUMNS[0]]}),
    ("of the background", {"size": [64, 96], "counts": _runs(~_square().ravel("F"))}),
    ("somewhere else", [[60, 40, 80, 40, 80, 60, 60, 60]]),
]


@pytest.mark.parametrize(("_", "segmentation"), WRONG, ids=[case[0] for case in WRONG])
def test_a_mask_beside_its_box_is_refused(_: str, segmentation: Any) -> None:
    assert _draw(segmentation).any()  # without a box nothing tells
    with pytest.raises(
        InputError, match=r"annotation 7: its mask does not lie in its bbox .*, or leave out a wrong bbox"
    ):
        _draw(segmentation, bbox=[10, 20, 30, 30])
