from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.data.mask_files.polarity import Look, find_inverted, look_at, mostly_inverted
from tests.data.mask_files.conftest import DISCS, SIZE, disc

DISC, ALL = DISCS[0], np.ones(SIZE, bool)
LARGE = disc(28, 24)  # touches two edges
PIN = ALL.copy()
PIN[20, 20] = False
RING = ALL.copy()
RING[5:-5, 5:-5] = False
RING[6:-6, 6:-6] = True
CORNER = ALL.copy()
CORNER[:12, :12] = False

# what it is, the mask, whether it shows a polyp, is inverted, and has a rim of polyp
LOOKS = [
    ("a disc", DISC, True, False, False),
    ("nothing", ~ALL, False, None, False),
    ("the whole frame", ALL, True, None, False),
    ("all but a disc", ~DISC, True, True, True),
    ("all but two discs", ~(disc(12, 6) | disc(40, 6)), True, True, True),
    ("a polyp that touches edges", LARGE, True, False, False),
    ("the whole frame but for one pixel", PIN, True, True, False),
    ("all but a thin ring", RING, True, True, False),
    ("all but a corner", CORNER, True, True, False),
]


@pytest.mark.parametrize(("mask", "shows", "inverted", "rim"), [c[1:] for c in LOOKS], ids=[c[0] for c in LOOKS])
def test_look(mask: np.ndarray, shows: bool, inverted: bool | None, rim: bool) -> None:
    assert look_at("a.png", mask) == Look("a.png", shows, inverted, rim)


def test_most_masks_are_inverted() -> None:
    looks = [look_at("", mask) for mask in (~DISC, ~DISC, DISC, ALL, ~ALL)]
    assert mostly_inverted(looks) and not mostly_inverted(looks[1:]) and not mostly_inverted(looks[3:])


def test_some_masks_are_inverted() -> None:
    masks = {f"case{case}/{frame}.png": DISC for case in range(5) for frame in range(3)}

    def find(*inverted: str) -> tuple[list[str], bool]:
        looks = {file: look_at(file, ~mask if file in inverted else mask) for file, mask in masks.items()}
        sample = list(looks.values())[::2]
        found, is_grave = find_inverted(sample, [*masks], lambda files: [looks[file] for file in files])
        return [look.path for look in found], is_grave

    assert find() == ([], False)
    assert find("case1/1.png") == (["case1/1.png"], False)
    assert find("case1/0.png", "case1/1.png", "case1/2.png") == (["case1/1.png"], True)
    assert find("case1/1.png", "case2/0.png") == (["case1/1.png", "case2/0.png"], True)
