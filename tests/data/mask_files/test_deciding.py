from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsinet_monai.data.mask_files.deciding import Tally, decide, read_labelmap
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


NOISE = (1, 2, 3, 4, 5, 6, 7, 8)
NOISY_RED = [*([BLACK] * 20), *((value, 0, 0) for value in NOISE), *([(250, 4, 2)] * 9)]

# what the set holds, its masks, its labels, the rule
DECIDED = [
    ("one grey", [_greys(1, 1), _greys(0)], {}, Values((1,), (0,))),
    ("white", [_greys(255)], {}, Threshold(255)),
    ("an opacity", [_greys(255, kind="opacity")], {}, Threshold(255, "opacity")),
    ("noise", [_greys(*NOISE, 128, 128, lossy=True)], {}, Threshold(128, is_noisy=True)),
    ("an index", [_indices({0: BLACK, 1: RED})], {}, Values((1,), (0,), palette=((0, BLACK), (1, RED)))),
    ("black is not index 0", [_indices({1: BLACK, 2: RED})], {}, Values((2,), (1,), palette=((1, BLACK), (2, RED)))),
    ("a colour", [_colours(BLACK, RED)], {}, Values((RED,), (BLACK,))),
    ("two palettes", [_indices({0: BLACK, 1: RED}), _indices({0: BLACK, 1: BLACK, 2: RED})], {},
     Values((RED,), (BLACK,))),
    ("a palette and colours", [_indices({0: BLACK, 1: RED}), _colours(BLACK, RED)], {}, Values((RED,), (BLACK,))),
    ("compressed colours", [_colours(*NOISY_RED, lossy=True)], {},
     Threshold(250, "colour", (250, 4, 2), is_noisy=True, noise=8)),
    ("a label", [_colours(BLACK, RED)], BACKGROUND | {"lesion": RED},
     Values((RED,), (BLACK,), note=", as labelmap.txt says (lesion)")),
    ("a label called polyp", [_colours(BLACK, RED, GREEN)], BACKGROUND | {"Polyp (flat)": RED, "tool": GREEN},
     Values((RED,), (BLACK, GREEN), note=", as labelmap.txt says (Polyp (flat); not tool)")),
    ("labels of other masks", [_colours(BLACK, RED)], BACKGROUND | {"tool": GREEN}, Values((RED,), (BLACK,))),
]  # fmt: skip


@pytest.mark.parametrize(("masks", "labels", "rule"), [case[1:] for case in DECIDED], ids=[case[0] for case in DECIDED])
def test_what_is_polyp(masks: list[MaskPicture], labels: dict, rule: MaskRule) -> None:
    assert decide(Tally(masks), labels) == rule


# what the set holds, its masks, its labels, the message
UNCLEAR = [
    ("opacities and greys", [_greys(9, kind="opacity"), _greys(9)], {}, "some masks are transparent and black"),
    ("two greys", [_greys(1, 2)], {}, "they hold 0, 1, 2"),
    ("one grey everywhere", [_only(7, 7)], {}, "every pixel is 7"),
    ("no background", [_only(100, 200)], {}, "they hold 100, 200"),
    ("dark greys", [_greys(*NOISE, 30, lossy=True)], {}, "they hold 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
    ("two indices", [_indices({0: BLACK, 1: RED, 2: GREEN})], {}, r"palette are .*1 = rgb\(255,0,0\), 2 = rgb"),
    ("black is not the background", [_indices({0: RED, 1: BLACK})], {}, "none of these is background without doubt"),
    ("two colours", [_colours(BLACK, RED, GREEN)], {}, r"they hold rgb\(0,0,0\), rgb\(0,255,0\), rgb\(255,0,0\)"),
    ("no black", [_colours(RED, GREEN)], {}, "and no black as background"),
    ("no label called polyp", [_colours(BLACK, RED)], BACKGROUND | {"tool": GREEN, "lesion": RED},
     "labelmap.txt has the labels background, tool, lesion, none of them called polyp"),
    ("a black label", [_colours(BLACK, RED)], {"polyp": BLACK, "tool": RED}, "labelmap.txt says that black is polyp"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("masks", "labels", "message"), [case[1:] for case in UNCLEAR], ids=[case[0] for case in UNCLEAR]
)
def test_what_is_not_clear_is_refused(masks: list[MaskPicture], labels: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decide(Tally(masks), labels)


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


LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\n\npolyp:250,50,83::\na tool:0,255,0\nno label\n"
LABELS = {"background": BLACK, "polyp": (250, 50, 83), "a tool": GREEN}


@pytest.mark.parametrize("folder", ["", "SegmentationClass", "a/b", "a/b/c"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_labelmap(tmp_path: Path, folder: str, mark: str) -> None:
    (tmp_path / "labelmap.txt").write_text(mark + LABELMAP, encoding="utf-8")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert read_labelmap(str(tmp_path / folder / "0.png")) == LABELS
    assert read_labelmap(str(tmp_path / "a/b/c/d/0.png")) == {}


def test_the_nearest_labelmap_counts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    (tmp_path / "a/labelmap.txt").write_text("polyp:1,2,3::")
    assert read_labelmap(str(tmp_path / "a/0.png")) == {"polyp": (1, 2, 3)}


def test_a_labelmap_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"labelmap\.txt: cannot be read .*; mend or remove it"):
        read_labelmap(str(tmp_path / "0.png"))
