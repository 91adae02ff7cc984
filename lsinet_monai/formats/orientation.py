"""How a stack lies in space, and how to turn it upright: its axes are then (W, H, T), left to right, top to bottom.

ITK-SNAP and 3D Slicer show frames upright whose x points to a patient's left, y to the back and time upwards. A tool
that changes this, such as ``nibabel.as_closest_canonical``, turns the pixels and says so in the file: its axes point
elsewhere, and its origin has moved so that every pixel keeps its place in space. Axes alone may be those of a script
that knows no orientation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from lsinet_monai.errors import InputError

__all__ = ["Orientation", "nrrd_affine"]

_UPRIGHT = np.array([-1, -1, 1])
"""The signs of the axes W, H and T in coordinates to the right, to the front and upwards (RAS)."""
_NRRD_SPACES = {"right-anterior-superior": (1, 1, 1), "left-anterior-superior": (-1, 1, 1)}
_NRRD_SPACES |= {"ras": (1, 1, 1), "las": (-1, 1, 1)}
_ALIGNED = 0.999


class Orientation:
    """The orientation of a stack.

    Args:
        affine: (4, 4): turns indices into coordinates, RAS. None, or positive axes whose origin is not that of a turned
            stack, as scripts write them: then the stack is taken as it is.
        sizes: the lengths of the stack's axes.

    Raises:
        InputError: if the axes are not parallel to those of space, or they are mirrored and the origin does not fit.
    """

    def __init__(self, affine: np.ndarray | None, sizes: Sequence[int]) -> None:
        self._axes, self._flipped = [0, 1, 2], [False] * 3
        self.is_ignored = False
        """Whether the file states an orientation and a place that were not applied."""
        if affine is None:
            return
        directions = affine[:3, :3]
        largest = np.abs(directions).argmax(0)
        steps = directions[largest, range(3)]
        is_aligned = np.abs(steps) > _ALIGNED * np.linalg.norm(directions, axis=0)
        if not is_aligned.all() or set(largest.tolist()) != {0, 1, 2}:
            raise InputError(
                "has axes at an angle to those of the frames; save it in the orientation of the exported stack"
            )
        flipped = np.sign(steps) != _UPRIGHT[largest]
        if not _is_in_place(affine, sizes, flipped, largest):
            if (directions.diagonal() > 0).all() and largest.tolist() == [0, 1, 2]:
                self.is_ignored = bool(affine[:3, 3].any())
                return
            raise InputError(
                "has mirrored axes, but its origin is not that of an exported stack that was mirrored; save it in the "
                "orientation of the exported stack"
            )
        self._axes = np.argsort(largest).tolist()
        self._flipped = flipped[self._axes].tolist()

    @property
    def is_upright(self) -> bool:
        """Whether the stack lies upright as it is."""
        return self._axes == [0, 1, 2] and not any(self._flipped)

    def sizes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of the upright stack; axes after the third stay."""
        padded = (*sizes, *(3 - len(sizes)) * [1])
        return (*(padded[axis] for axis in self._axes), *padded[3:])

    def upright(self, stack: np.ndarray) -> np.ndarray:
        """Turn a stack with three axes upright."""
        return stack.transpose(self._axes)[tuple(slice(None, None, -1 if flip else 1) for flip in self._flipped)]


def _is_in_place(affine: np.ndarray, sizes: Sequence[int], flipped: np.ndarray, space_axes: np.ndarray) -> bool:
    """Whether the pixel that is the first one after flipping lies at 0, as in an exported stack, within half a pixel.

    Args:
        affine: (4, 4).
        sizes: the lengths of the axes; missing ones are 1.
        flipped: (3,): which axes are flipped.
        space_axes: (3,): the axis of space to which each is parallel.
    """
    last = np.array([*sizes[:3], *[1] * (3 - len(sizes))], float) - 1
    with np.errstate(invalid="ignore"):
        point = affine[:3] @ np.array([*(last * flipped), 1.0])
    steps = np.abs(affine[space_axes, range(3)])
    return bool((np.abs(point[space_axes]) <= steps / 2)[flipped].all())


def nrrd_affine(fields: Mapping[str, str]) -> np.ndarray | None:
    """Read the affine of an NRRD file, RAS, from the fields of its header; None if it has none.

    Raises:
        ValueError: if it is damaged.
    """
    directions, origin = (
        [[float(number) for number in vector.split(",")] for vector in re.findall(r"\(([^)]*)\)", fields.get(name, ""))]
        for name in ("space directions", "space origin")
    )
    if [len(vector) for vector in directions] != [3, 3, 3] or "none" in fields["space directions"].lower():
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.transpose(directions)
    if [len(vector) for vector in origin] == [3]:
        affine[:3, 3] = origin[0]
    signs = _NRRD_SPACES.get(fields.get("space", "").lower(), (-1, -1, 1))  # LPS, also where none is given, as in ITK
    return np.diag([*signs, 1]) @ affine
