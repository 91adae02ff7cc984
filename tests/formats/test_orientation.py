from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats.orientation import Orientation, nrrd_affine

STACK = np.arange(24).reshape(2, 3, 4)


Vector = tuple[float, float, float]


def _affine(x: Vector, y: Vector, z: Vector, origin: Vector = (0, 0, 0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3] = np.transpose([x, y, z, origin])
    return affine


# what it is, the affine, the stack upright
UPRIGHT = [
    ("none", None, STACK),
    ("ours", np.diag([-1, -1, 1, 1]), STACK),
    ("identity", np.eye(4), STACK),
    ("sizes of pixels alone", np.diag([2, 2, 0.5, 1]), STACK),
    ("RAS", _affine((1, 0, 0), (0, 1, 0), (0, 0, 1), origin=(-1, -2, 0)), STACK[::-1, ::-1]),
    ("RAS, and larger pixels", _affine((0.5, 0, 0), (0, 3, 0), (0, 0, 1), origin=(-0.5, -6, 0)), STACK[::-1, ::-1]),
    ("RAS, within half a pixel", _affine((1, 0, 0), (0, 1, 0), (0, 0, 1), origin=(-0.6, -2.4, 0)), STACK[::-1, ::-1]),
    ("slightly turned", _affine((-1, 0.01, 0), (-0.01, -1, 0), (0, 0, 1)), STACK),
    ("upside down", _affine((-1, 0, 0), (0, 1, 0), (0, 0, 1), origin=(0, -2, 0)), STACK[:, ::-1]),
    ("backwards", _affine((-1, 0, 0), (0, -1, 0), (0, 0, -1), origin=(0, 0, 3)), STACK[:, :, ::-1]),
    ("frames first", _affine((0, 0, 1), (0, -1, 0), (-1, 0, 0)), np.moveaxis(STACK, (0, 1, 2), (2, 1, 0))),
    ("mirrored, rows first", _affine((0, -1, 0), (1, 0, 0), (0, 0, 1), (-2, 0, 0)), STACK.transpose(1, 0, 2)[::-1]),
]


@pytest.mark.parametrize(("affine", "upright"), [case[1:] for case in UPRIGHT], ids=[case[0] for case in UPRIGHT])
def test_a_stack_is_turned_upright(affine: np.ndarray | None, upright: np.ndarray) -> None:
    orientation = Orientation(affine, STACK.shape)
    assert not orientation.is_ignored
    np.testing.assert_array_equal(orientation.upright(STACK), upright)
    assert orientation.is_upright == (upright is STACK)
    assert orientation.sizes(STACK.shape) == upright.shape and orientation.sizes((*STACK.shape, 1))[3:] == (1,)


@pytest.mark.parametrize("origin", [(5, 0, 0), (-0.4, -2, 0), (-1, -2.6, 0), (-1, 0, 0), (float("nan"), -2, 0)])
def test_positive_axes_with_another_origin_are_those_of_a_script(origin: Vector) -> None:
    orientation = Orientation(_affine((1, 0, 0), (0, 1, 0), (0, 0, 1), origin=origin), STACK.shape)
    assert orientation.is_upright and orientation.is_ignored
    np.testing.assert_array_equal(orientation.upright(STACK), STACK)


@pytest.mark.parametrize("affine", [
    np.diag([-1, 1, 1, 1]),
    np.diag([-1, -1, -1, 1]),
    _affine((-1, 0, 0), (0, 1, 0), (0, 0, 1), origin=(0, -3, 0)),
    _affine((0, 1, 0), (1, 0, 0), (0, 0, 1), origin=(5, 5, 0)),
    _affine((-1, 0, 0), (0, 1, 0), (0, 0, 1), origin=(0, float("inf"), 0)),
])  # fmt: skip
def test_mirrored_axes_with_another_origin_are_refused(affine: np.ndarray) -> None:
    with pytest.raises(
        InputError, match=r"^has mirrored axes, but its origin is not .*; save it in the orientation of"
    ):
        Orientation(affine, STACK.shape)


@pytest.mark.parametrize("affine", [
    _affine((1, 1, 0), (-1, 1, 0), (0, 0, 1)),
    _affine((1, 0, 0), (1, 0, 0), (0, 0, 1)),
    _affine((0, 0, 0), (0, 1, 0), (0, 0, 1)),
    _affine((float("nan"), 0, 0), (0, 1, 0), (0, 0, 1)),
    _affine((-float("inf"), 0, 0), (0, 1, 0), (0, 0, 1)),
])  # fmt: skip
def test_axes_at_an_angle_are_refused(affine: np.ndarray) -> None:
    with pytest.raises(InputError, match="has axes at an angle to those of the frames"):
        Orientation(affine, STACK.shape)


# what it is, the fields of the header, the affine
HEADERS = [
    ("nothing", {}, None),
    ("LPS", {"space": "left-posterior-superior", "space directions": "(1,0,0) (0,2,0) (0,0,3)",
             "space origin": "(4,5,6)"}, [[-1, 0, 0, -4], [0, -2, 0, -5], [0, 0, 3, 6], [0, 0, 0, 1]]),
    ("RAS", {"space": "RAS", "space directions": "(0,1,0) (1,0,0) (0,0,1)"},
     [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ("LAS", {"space": "left-anterior-superior", "space directions": "(1,0,0) (0,1,0) (0,0,1)"}, np.diag([-1, 1, 1, 1])),
    ("no space", {"space directions": "(1,0,0) (0,1,0) (0,0,1)"}, np.diag([-1, -1, 1, 1])),
    ("two axes", {"space directions": "(1,0) (0,1)"}, None),
    ("colours", {"space directions": "none (1,0,0) (0,1,0) (0,0,1)"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "affine"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_the_affine_of_an_nrrd_file(fields: dict[str, str], affine: list | None) -> None:
    found = nrrd_affine(fields)
    assert found is None if affine is None else np.array_equal(found, affine)
