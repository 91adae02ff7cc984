from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data.mask_files import read_mask
from lsinet_monai.data.mask_files.picture import MaskPicture, Value
from lsinet_monai.data.mask_files.rule import STANDARD, MaskRule, Threshold, Values, select
from lsinet_monai.errors import InputError
from tests.data.mask_files.conftest import DISCS, coloured, disc, grey

DISC = DISCS[0]
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
PALETTE = {0: BLACK, 1: RED}


def _greys(values: np.ndarray, kind: str = "grey", lossy: bool = False) -> MaskPicture:
    return MaskPicture("mask.png", kind, values.astype(np.uint8), lossy)


def _indices(palette: dict[int, tuple[int, int, int]]) -> MaskPicture:
    return MaskPicture("mask.png", "palette", DISC.astype(np.uint8), False, palette)


def _colours(colour: Value, background: Value = BLACK, lossy: bool = False) -> MaskPicture:
    return MaskPicture("mask.png", "colour", np.asarray(coloured(DISC, colour, background)), lossy)


def _with(values: np.ndarray, where: np.ndarray, value: int) -> np.ndarray:
    return np.where(where, value, values)


WHITE = DISC * 255
FAR = disc(45, 4)  # far from the disc
EDGE = disc(16, 10) & ~DISC  # around the disc
CORNER = np.zeros_like(DISC)
CORNER[0, -1] = True
DOTS = np.zeros_like(DISC)
DOTS[::3, ::3] = True
ONE, INDEX, COLOUR = Values((1,), (0,)), Values((1,), (0,), palette=tuple(PALETTE.items())), Values((RED,), (BLACK,))
DARK, NOISY, KNOWN_NOISE = Threshold(80), Threshold(is_noisy=True), Threshold(is_noisy=True, noise=8)
CUT_RED = Threshold(255, "colour", RED)
OPACITY = Threshold(255, "opacity")

# what it is, the rule, the picture, how the misfit begins; empty if the picture fits
MISFITS = [
    ("its values", ONE, _greys(DISC * 1), ""),
    ("black", ONE, _greys(DISC * 0), ""),
    ("another value", ONE, _greys(DISC * 3), "also holds 3"),
    ("colours for a grey", ONE, _colours(RED), "holds colours (rgb(0,0,0), rgb(255,0,0))"),
    ("a grey for a colour", COLOUR, _greys(DISC * 255), "also holds rgb(255,255,255)"),
    ("an opacity for a colour", COLOUR, _greys(DISC * 255, "opacity"), "holds opacities (0, 255)"),
    ("its indices", INDEX, _indices(PALETTE), ""),
    ("greys for indices", INDEX, _greys(DISC * 1), "holds greys (0, 1)"),
    ("another palette", INDEX, _indices({0: BLACK, 1: GREEN}), "has the colour rgb(0,255,0) for index 1"),
    ("an index of the polyp's colour", COLOUR, _indices(PALETTE), ""),
    ("0 and 255", STANDARD, _greys(WHITE), ""),
    ("black for a threshold", STANDARD, _greys(DISC * 0), ""),
    ("colours for a threshold of greys", STANDARD, _colours(RED), "holds colours"),
    ("another level", STANDARD, _greys(DISC * 90), "holds 0, 90, none of them near 255"),
    ("brighter than the level", DARK, _greys(DISC * 255), "also holds brighter values, up to 255"),
    ("a faint value", STANDARD, _greys(_with(WHITE, FAR, 7)), "also holds 7"),
    ("a faint edge of a JPEG", STANDARD, _greys(_with(WHITE, EDGE, 7), lossy=True), ""),
    ("a faint area of a JPEG", STANDARD, _greys(_with(WHITE, FAR, 7), lossy=True), "also holds areas of 7"),
    ("a faint value in a noisy set", NOISY, _greys(_with(WHITE, FAR, 7)), "also holds areas of 7"),
    ("a faint value that is known as noise", KNOWN_NOISE, _greys(_with(WHITE, FAR, 7), lossy=True), ""),
    ("a soft edge", STANDARD, _greys(_with(WHITE, EDGE, 120)), ""),
    ("an area between", STANDARD, _greys(_with(WHITE, FAR, 120)), "also holds areas of 120"),
    ("an area between, in a JPEG", STANDARD, _greys(_with(WHITE, FAR, 120), lossy=True), "also holds areas of 120"),
    ("one pixel between", STANDARD, _greys(_with(WHITE, CORNER, 120)), "also holds areas of 120"),
    ("one pixel between, in a noisy set", NOISY, _greys(_with(WHITE, CORNER, 120), lossy=True), ""),
    ("noise without a polyp", NOISY, _greys(DOTS * 9), ""),
    ("noise without a polyp, in a JPEG", STANDARD, _greys(DOTS * 9, lossy=True), ""),
    ("0 and 1 in a set with soft edges", NOISY, _greys(DISC * 1), "holds 0, 1, none of them near 255"),
    ("0 and 1 as a JPEG", STANDARD, _greys(DISC * 1, lossy=True), "holds 0, 1, none of them near 255"),
    ("one faint grey everywhere in a JPEG", STANDARD, _greys(np.ones_like(DISC) * 2, lossy=True), ""),
    ("red", CUT_RED, _colours((200, 20, 10)), "holds 0, 200, none of them near 255"),
    ("its hue", CUT_RED, _colours((250, 20, 10), lossy=True), ""),
    ("another hue", CUT_RED, _colours((250, 250, 0), lossy=True), "also holds other colours, such as rgb(250,250,0)"),
    ("an opacity", OPACITY, _greys(WHITE, "opacity"), ""),
    ("greys for an opacity", OPACITY, _greys(WHITE), "holds greys (0, 255)"),
    ("black for an opacity", OPACITY, _greys(DISC * 0), "holds greys (0)"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "picture", "misfit"), [c[1:] for c in MISFITS], ids=[c[0] for c in MISFITS])
def test_what_fits_a_rule(rule: MaskRule, picture: MaskPicture, misfit: str) -> None:
    found = rule.misfit(picture)
    assert found.startswith(misfit) and bool(found) == bool(misfit)
    if misfit:
        with pytest.raises(InputError) as error:
            rule.polyp(picture, "gt_values")
        text = f"mask.png: {found}, but in its set {rule}: mend the mask, or say with gt_values what is polyp"
        assert str(error.value) == text
    else:
        np.testing.assert_array_equal(rule.polyp(picture), rule.select(picture))


# the rule, a picture that fits it, and the pixels that are polyp
SELECTED = [
    (ONE, _greys(DISC * 1), DISC),
    (ONE, _greys(DISC * 0), DISC & False),
    (Values((0,), (1,)), _greys(DISC * 0), DISC & False),  # a black mask shows no polyp, whatever 0 means
    (Values((1, 3), (0,)), _greys(DISC * 1 + FAR * 3), DISC | FAR),
    (INDEX, _indices(PALETTE), DISC),
    (COLOUR, _indices(PALETTE), DISC),
    (COLOUR, _colours(RED), DISC),
    (STANDARD, _greys(_with(_with(WHITE, EDGE, 128), CORNER, 129)), DISC | CORNER),
    (DARK, _greys(_with(DISC * 80, EDGE, 40)), DISC),
    (CUT_RED, _colours((250, 20, 10)), DISC),
    (OPACITY, _greys(WHITE, "opacity"), DISC),
]


@pytest.mark.parametrize(("rule", "picture", "polyp"), SELECTED)
def test_what_a_rule_selects(rule: MaskRule, picture: MaskPicture, polyp: np.ndarray) -> None:
    selected = rule.select(picture)
    assert selected.dtype == bool
    np.testing.assert_array_equal(selected, polyp)


TEXTS = [
    (ONE, "1 is polyp, 0 is background"),
    (INDEX, "index 1 = rgb(255,0,0) is polyp, 0 is background"),
    (
        Values((RED,), (), note=", as labelmap.txt says"),
        "rgb(255,0,0) is polyp, nothing is background, as labelmap.txt",
    ),
    (STANDARD, "grey above 128 is polyp, the rest is background"),
    (Threshold(191), "grey above 95 is polyp"),
    (Threshold(192), "grey above 128 is polyp"),
    (OPACITY, "opacity above 128 is polyp"),
    (CUT_RED, "rgb(255,0,0) with a brightness above 128 is polyp, all that is darker is background"),
]


@pytest.mark.parametrize(("rule", "text"), TEXTS)
def test_a_rule_says_what_is_polyp(rule: MaskRule, text: str) -> None:
    assert str(rule).startswith(text)


def test_pixels_of_several_values() -> None:
    picture = _indices({0: GREEN, 1: RED})
    np.testing.assert_array_equal(select(picture, [1]), DISC)
    np.testing.assert_array_equal(select(picture, [GREEN]), ~DISC)
    assert select(picture, [0, RED]).all() and not select(picture, []).any()


def test_a_file_that_does_not_fit_its_set_is_named(tmp_path: Path) -> None:
    for number, image in enumerate((grey(DISC, 255), coloured(DISC, RED), grey(DISC, 3))):
        image.save(tmp_path / f"other{number}.png")
        for read in (ONE.read, partial(read_mask, rule=ONE)):
            with pytest.raises(InputError, match=rf"other{number}\.png: .*, but in its set 1 is polyp"):
                read(tmp_path / f"other{number}.png")
    grey(DISC, 0).save(tmp_path / "black.png")
    assert not ONE.read(tmp_path / "black.png").any()
    Image.fromarray(DISC.astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(ONE.read(tmp_path / "mask.png"), DISC)
