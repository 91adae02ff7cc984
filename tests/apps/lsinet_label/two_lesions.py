"""Masks of two lesions, which export and import share."""

from __future__ import annotations

import numpy as np

SIZE = (64, 80)


def two(shift: int = 0, ids: tuple[int, int] = (2, 5)) -> np.ndarray:
    """The mask of two lesions, the first one moved down."""
    labels = np.zeros(SIZE, np.uint8)
    labels[8 + shift : 28 + shift, 10:30] = ids[0]
    labels[30:60, 50:75] = ids[1]
    return labels
