from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from lsinet_monai.data.mask_files.given import GivenThreshold, GivenValues, given_rule
from lsinet_monai.data.mask_files.picture import MaskPicture
from lsinet_monai.data.mask_files.rule import MaskRule
from lsinet_monai.errors import InputError

LABELS = {"background": (0, 0, 0), "polyp": (250, 50, 83)}

READ = [
    (1, GivenValues((1,))),
    ("1", GivenValues((1,))),
    ([1, 2], GivenValues((1, 2))),
    ("[1, 2]", GivenValues((1, 2))),
    ("1,2", GivenValues((1, 2))),
    ("rgb(250, 50, 83)", GivenValues(((250, 50, 83),))),
    ("rgb(250 50 83)", GivenValues(((250, 50, 83),))),
    (["rgb(250,50,83)", 3], GivenValues(((250, 50, 83), 3))),
    ("polyp", GivenValues(((250, 50, 83),))),
    (">128", GivenThreshold(128)),
    ("< 128", GivenThreshold(128, is_brighter=False)),
]


@pytest.mark.parametrize(("mask_values", "rule"), READ, ids=str)
def test_what_a_person_gives(mask_values: Any, rule: object) -> None:
    assert given_rule(mask_values, LABELS) == rule
    assert str(given_rule(mask_values, LABELS)).endswith("as given")


@pytest.mark.parametrize(
    "mask_values", [256, -1, 0.5, True, "red", "rgb(0,0,256)", ">300", [], "", {"polyp": 1}], ids=str
)
def test_what_is_no_value_is_refused(mask_values: Any) -> None:
    with pytest.raises(InputError, match=r"mask_values=.*(give|such as) 1 \(a grey"):
        given_rule(mask_values, LABELS)


def test_values_that_a_compression_has_changed_are_refused() -> None:
    def compressed(*values: int) -> MaskPicture:
        return MaskPicture("a.jpg", "grey", np.array([values], np.uint8), lossy=True)

    assert "may also hold others, such as 1, 254 (give >128" in GivenValues((255,)).misfit(compressed(0, 1, 254, 255))
    assert not GivenValues((255,)).misfit(compressed(0, 255))
    assert not GivenThreshold(128).misfit(compressed(0, 1, 254, 255))


RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def _indices(palette: dict[int, tuple[int, int, int]]) -> MaskPicture:
    return MaskPicture("a.png", "palette", np.array([list(palette)], np.uint8), False, palette)


def _greys(*values: int, kind: Literal["grey", "opacity"] = "grey") -> MaskPicture:
    return MaskPicture("a.png", kind, np.array([values], np.uint8), False)


def test_the_first_colour_of_an_index_counts() -> None:
    rule = GivenValues((1,)).with_palette([_indices({0: BLACK}), _indices({1: RED}), _indices({0: RED, 1: GREEN})])
    assert rule.palette == ((0, BLACK), (1, RED))
    assert str(rule) == "index 1 = rgb(255,0,0) is polyp, all else is background, as given"
    assert GivenValues((1,)).with_palette([_greys(0, 1)]) == GivenValues((1,))


# a mask of a set whose index 1 is red, and given; how the misfit begins
PALETTES = [
    (_indices({0: BLACK, 1: RED}), ""),
    (_indices({0: BLACK, 2: GREEN}), ""),
    (_indices({0: BLUE}), ""),
    (_indices({0: BLACK, 1: GREEN}), "has another palette, with the colour rgb(0,255,0) for index 1"),
    (_indices({0: RED}), "has another palette, with the colour rgb(255,0,0) for index 0"),
    (_indices({0: BLACK, 2: RED}), "has another palette, with the colour rgb(255,0,0) for index 2"),
    (_greys(0, 1), ""),
    (_greys(0, 0), ""),
    (_greys(0, 255), "holds greys (0, 255), no indices"),
]


@pytest.mark.parametrize(("picture", "misfit"), PALETTES)
def test_an_index_in_another_palette_is_refused(picture: MaskPicture, misfit: str) -> None:
    found = GivenValues((1,), ((0, BLACK), (1, RED))).misfit(picture)
    assert found.startswith(misfit) and bool(found) == bool(misfit)


@pytest.mark.parametrize("rule", [GivenValues((255,)), GivenValues(((255,) * 3,)), GivenThreshold(128)], ids=str)
def test_opacity_is_not_compared_with_what_is_given(rule: MaskRule) -> None:
    assert rule.misfit(_greys(0, 255, kind="opacity")) == "holds opacities (0, 255), and no greys or colours"
    assert not rule.misfit(_greys(0, 0, kind="opacity"))


@pytest.mark.parametrize("rule", [GivenValues((0,)), GivenThreshold(128, is_brighter=False)], ids=str)
def test_nothing_is_no_black_polyp(rule: MaskRule) -> None:
    assert rule.misfit(_greys(0, 0, kind="opacity")).startswith("holds opacities (0)")
