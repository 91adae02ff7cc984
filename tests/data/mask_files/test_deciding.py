from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.data.mask_files.class_lists import ClassList
from lsinet_monai.data.mask_files.deciding import Tally, decide
from lsinet_monai.data.mask_files.picture import MaskPicture
from lsinet_monai.data.mask_files.rule import MaskRule, Threshold, Values
from lsinet_monai.errors import InputError

RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
BACKGROUND = {"background": BLACK}


def _greys(*values: int, kind: str = "grey", lossy: bool = False) -> MaskPicture:
    """A picture of ten pixels of 0 and one of each value."""
    return MaskPicture("a.png", kind, np.array([[0] * 10 + list(values)], np.uint8), lossy)


def _only(*values: int) -> MaskPicture:
    return MaskPicture("a.png", "grey", np.array([values], np.uint8), False)


def _indices(palette: dict[int, tuple[int, int, int]]) -> MaskPicture:
    return MaskPicture("a.png", "palette", np.array([list(palette)], np.uint8), False, palette)


def _colours(*colours: tuple[int, int, int], lossy: bool = False) -> MaskPicture:
    return MaskPicture("a.png", "colour", np.array([colours], np.uint8), lossy)


NUMBERS = {"background": 0, "instrument": 1, "polyp": 2}


def _class_lists(labels: dict) -> list[ClassList]:
    name = "_classes.csv" if int in map(type, labels.values()) else "labelmap.txt"
    return [ClassList(f"GT/{name}", labels)] if labels else []


NOISE = (1, 2, 3, 4, 5, 6, 7, 8)
NOISY_RED = [*([BLACK] * 20), *((value, 0, 0) for value in NOISE), *([(250, 4, 2)] * 9)]

# what the set holds, its masks, its labels, the rule
DECIDED = [
    ("one grey", [_greys(1, 1), _greys(0)], {}, Values((1,), (0,))),
    ("white", [_greys(255)], {}, Threshold(255)),
    ("an opacity", [_greys(255, kind="opacity")], {}, Threshold(255, "opacity")),
    ("noise", [_greys(*NOISE, 128, 128, lossy=True)], {}, Threshold(128, is_noisy=True)),
    ("one compressed grey", [_greys(128, 128, lossy=True)], {}, Threshold(128, is_noisy=True)),
    ("white, compressed", [_greys(255, lossy=True)], {}, Threshold(255)),
    ("an index", [_indices({0: BLACK, 1: RED})], {}, Values((1,), (0,), palette=((0, BLACK), (1, RED)))),
    ("black is not index 0", [_indices({1: BLACK, 2: RED})], {}, Values((2,), (1,), palette=((1, BLACK), (2, RED)))),
    ("a colour", [_colours(BLACK, RED)], {}, Values((RED,), (BLACK,))),
    ("two palettes", [_indices({0: BLACK, 1: RED}), _indices({0: BLACK, 1: BLACK, 2: RED})], {},
     Values((RED,), (BLACK,))),
    ("a palette and colours", [_indices({0: BLACK, 1: RED}), _colours(BLACK, RED)], {}, Values((RED,), (BLACK,))),
    ("compressed colours", [_colours(*NOISY_RED, lossy=True)], {},
     Threshold(250, "colour", (250, 4, 2), is_noisy=True, noise=8)),
    ("a label", [_colours(BLACK, RED)], BACKGROUND | {"polyp": RED},
     Values((RED,), (BLACK,), note=", as labelmap.txt says (polyp)")),
    ("a label called polyp", [_colours(BLACK, RED, GREEN)], BACKGROUND | {"Polyp (flat)": RED, "tool": GREEN},
     Values((RED,), (BLACK, GREEN), note=", as labelmap.txt says (Polyp (flat); not tool)")),
    ("polyp next to its opposite", [_colours(BLACK, RED, GREEN)], BACKGROUND | {"polyp": RED, "not polyp": GREEN},
     Values((RED,), (BLACK, GREEN), note=", as labelmap.txt says (polyp; not not polyp)")),
    ("the objects of the only label, polyp", [_colours(BLACK, RED)], BACKGROUND | {"polyp": GREEN},
     Values((RED,), (BLACK,))),
    ("white, and labels", [_greys(255)], BACKGROUND | {"polyp": RED, "tool": GREEN},
     Threshold(255, note=", though labelmap.txt has the labels tool: the masks have no colours")),
    ("one grey, and another label", [_greys(1)], BACKGROUND | {"tool": GREEN},
     Values((1,), (0,), note=", though labelmap.txt has the labels tool: the masks have no colours")),
    ("numbered greys", [_greys(1, 2), _greys(2)], NUMBERS,
     Values((2,), (0, 1), note=", as _classes.csv says (polyp; not instrument)")),
    ("a polyp of another number is not there", [_greys(1)], NUMBERS,
     Values((2,), (0, 1), note=", as _classes.csv says (polyp; not instrument)")),
    ("numbered indices", [_indices({0: BLACK, 1: RED})], NUMBERS,
     Values((2,), (0, 1), palette=((0, BLACK), (1, RED)), note=", as _classes.csv says (polyp; not instrument)")),
    ("white, and what labelme ignores", [_greys(255)], {"__ignore__": 255, "_background_": 0, "polyp": 1},
     Threshold(255, note=", though _classes.csv has the labels __ignore__: the masks have other values")),
    ("white, and numbers", [_greys(255)], NUMBERS,
     Threshold(255, note=", though _classes.csv has the labels instrument: the masks have other values")),
    ("noise up to white, and numbers", [_greys(*NOISE, 255, 255, lossy=True)], {"_background_": 0, "polyp": 1},
     Threshold(255, is_noisy=True)),
]  # fmt: skip


@pytest.mark.parametrize(("masks", "labels", "rule"), [case[1:] for case in DECIDED], ids=[case[0] for case in DECIDED])
def test_what_is_polyp(masks: list[MaskPicture], labels: dict, rule: MaskRule) -> None:
    assert decide(Tally(masks), _class_lists(labels)) == rule


# what the set holds, its masks, its labels, the message
UNCLEAR = [
    ("opacities and greys", [_greys(9, kind="opacity"), _greys(9)], {}, "some masks are transparent and black"),
    ("two greys", [_greys(1, 2)], {}, "they hold 0, 1, 2"),
    ("one grey everywhere", [_only(7, 7)], {}, "every pixel is 7"),
    ("no background", [_only(100, 200)], {}, "they hold 100, 200"),
    ("0 and 1, compressed", [_greys(1, 1, lossy=True)], {}, "they hold 0, 1, too dark .* noise .*save them as PNG"),
    ("dark greys", [_greys(*NOISE, 30, lossy=True)], {}, "they hold 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
    ("two indices", [_indices({0: BLACK, 1: RED, 2: GREEN})], {}, r"palette are .*1 = rgb\(255,0,0\), 2 = rgb"),
    ("black is not the background", [_indices({0: RED, 1: BLACK})], {}, "none of these is background without doubt"),
    ("two colours", [_colours(BLACK, RED, GREEN)], {}, r"they hold rgb\(0,0,0\), rgb\(0,255,0\), rgb\(255,0,0\)"),
    ("no black", [_colours(RED, GREEN)], {}, "and no black as background"),
    ("no label called polyp", [_colours(BLACK, RED)], BACKGROUND | {"tool": GREEN, "lesion": RED},
     "labelmap.txt has the labels background, tool, lesion, none of them called polyp"),
    ("another label alone", [_colours(BLACK, RED)], BACKGROUND | {"tool": RED}, "none of them called polyp"),
    ("objects of several labels", [_colours(BLACK, RED)], BACKGROUND | {"polyp": GREEN, "tool": (9, 9, 9)},
     r"they hold rgb\(255,0,0\), not in GT/labelmap.txt, which has .*polyp, tool: take CVAT's SegmentationClass"),
    ("two objects in a palette", [_indices({0: BLACK, 1: RED})], BACKGROUND | {"polyp": GREEN, "tool": (9, 9, 9)},
     "not in GT/labelmap.txt"),
    ("objects of another label", [_colours(BLACK, RED)], BACKGROUND | {"tool": GREEN}, "not in GT/labelmap.txt"),
    ("white next to a label", [_greys(255), _colours(BLACK, RED)], BACKGROUND | {"polyp": RED, "tool": GREEN},
     r"they hold rgb\(255,255,255\), not in"),
    ("a number that is not listed", [_greys(3)], NUMBERS,
     "they hold 3, not in GT/_classes.csv, which has the labels background, instrument, polyp$"),
    ("an index that is not listed", [_indices({0: BLACK, 3: RED})], NUMBERS, "they hold 3, not in GT/_classes.csv"),
    ("a colour, and numbers", [_colours(BLACK, RED)], NUMBERS, r"they hold rgb\(255,0,0\), not in GT/_classes.csv"),
    ("numbers, compressed", [_greys(1, 2, lossy=True)], NUMBERS, "they hold 0, 1, 2, too dark"),
    ("no number called polyp", [_greys(1)], {"background": 0, "instrument": 1},
     "_classes.csv has the labels background, instrument, none of them called polyp"),
    ("number 0 is polyp", [_greys(1)], {"polyp": 0, "background": 1}, "_classes.csv says that 0 is polyp"),
    ("one value, two labels", [_greys(1)], {"polyp": 1, "tool": 1}, "_classes.csv gives polyp and tool one value"),
    ("a black label", [_colours(BLACK, RED)], {"polyp": BLACK, "tool": RED}, "labelmap.txt says that black is polyp"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("masks", "labels", "message"), [case[1:] for case in UNCLEAR], ids=[case[0] for case in UNCLEAR]
)
def test_what_is_not_clear_is_refused(masks: list[MaskPicture], labels: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decide(Tally(masks), _class_lists(labels))


def test_a_list_that_is_not_clear_matters_only_where_it_is_needed() -> None:
    lists = [ClassList("class_names.txt", {}, problem="class_names.txt does not begin")]
    assert decide(Tally([_greys(255)]), lists) == Threshold(255)
    numbers = ClassList("_classes.csv", {"polyp": 1, "tool": 255})
    assert decide(Tally([_greys(1, 255)]), [*lists, numbers]).select(_greys(1, 255)).any()
    for masks in ([_greys(1)], [_indices({0: BLACK, 1: RED})], [_colours(BLACK, RED)]):
        with pytest.raises(InputError, match=r"^class_names.txt does not begin$"):
            decide(Tally(masks), lists)


def test_lists_of_colours_and_of_numbers_are_two_sets() -> None:
    lists = [ClassList("a/labelmap.txt", {"tool": RED}), ClassList("b/_classes.csv", {"polyp": 1})]
    with pytest.raises(InputError, match=r"a/labelmap.txt lists colours, but b/_classes.csv numbers: .* as two sets"):
        decide(Tally([_greys(1)]), lists)


def test_the_values_of_a_set() -> None:
    tally = Tally([_greys(0), _greys(0)])
    assert tally.is_black and tally.count == 2
    tally.add(_greys(3, lossy=True))
    tally.add(_indices({0: BLACK, 5: RED}))
    tally.add(_colours(BLACK, GREEN, GREEN))
    assert not tally.is_black and tally.is_lossy and tally.count == 5
    assert tally.kinds == {"grey", "palette", "colour"} and tally.palette == {0: {BLACK}, 5: {RED}}
    assert tally.colours == {BLACK: 34, (3, 3, 3): 1, RED: 1, GREEN: 2} and tally.brightest == [GREEN]
    assert np.flatnonzero(tally.histogram).tolist() == [0, 3, 255] and tally.histogram.sum() == 38
    many = np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8)
    tally.add(MaskPicture("a.png", "colour", many, False))
    tally.add(_colours(BLACK, GREEN))
    assert tally.colours is None
