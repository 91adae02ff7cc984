from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data.mask_files.picture import as_list, as_text, read_mask_picture
from lsinet_monai.errors import InputError
from tests.data.mask_files.conftest import coloured, grey, with_palette

MASK = np.zeros((6, 8), bool)
MASK[2:4, 3:6] = True
RED = (255, 0, 0)


def _with_alpha(colour: int) -> Image.Image:
    """One grey everywhere, opaque where the mask is."""
    return Image.fromarray(np.dstack([np.full((*MASK.shape, 3), colour, np.uint8), MASK.astype(np.uint8) * 255]))


# what the file holds, the picture, its kind and its values
KINDS = [
    ("greys", grey(MASK, 3), "grey", {0: 42, 3: 6}),
    ("1 bit", Image.fromarray(MASK), "grey", {0: 42, 255: 6}),
    ("three equal channels", coloured(MASK, (7, 7, 7)), "grey", {0: 42, 7: 6}),
    ("a palette of greys", with_palette(~MASK, [255, 255, 255, 0, 0, 0]), "grey", {0: 42, 255: 6}),
    ("a palette of colours", with_palette(MASK, [0, 0, 0, *RED]), "palette", {0: 42, 1: 6}),
    ("two indices of one grey", with_palette(MASK, [9, 9, 9, 9, 9, 9]), "palette", {0: 42, 1: 6}),
    ("colours", coloured(MASK, RED), "colour", {(0, 0, 0): 42, RED: 6}),
    ("an almost grey colour", coloured(MASK, (7, 7, 8)), "colour", {(0, 0, 0): 42, (7, 7, 8): 6}),
    ("white in front of nothing", _with_alpha(255), "grey", {0: 42, 255: 6}),
    ("black in front of nothing", _with_alpha(0), "opacity", {0: 42, 255: 6}),
]  # fmt: skip


@pytest.mark.parametrize(("image", "kind", "counts"), [case[1:] for case in KINDS], ids=[case[0] for case in KINDS])
def test_what_a_value_is(tmp_path: Path, image: Image.Image, kind: str, counts: dict) -> None:
    image.save(tmp_path / "a.png")
    picture = read_mask_picture(tmp_path / "a.png")
    assert (picture.kind, picture.counts, picture.lossy) == (kind, counts, False)
    assert picture.path == str(tmp_path / "a.png") and not picture.is_black
    assert picture.pixels.dtype == np.uint8 and picture.colours.shape == (6, 8, 3)


# suffix and options of the file; whether its values may have changed
FILES = [
    ("png", {}, False),
    ("bmp", {}, False),
    ("tif", {}, False),
    ("jpg", {}, True),
    ("webp", {}, True),
    ("webp", {"lossless": True}, False),
    ("webp", {"lossless": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, False),
    ("webp", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, True),
    ("jp2", {"irreversible": True}, True),
    ("jp2", {"irreversible": False}, False),
    ("jp2", {"irreversible": False, "no_jp2": True}, False),
    ("tif", {"compression": "jpeg"}, True),
]


@pytest.mark.parametrize(("suffix", "options", "lossy"), FILES)
def test_a_compression_that_may_change_values(tmp_path: Path, suffix: str, options: dict, lossy: bool) -> None:
    grey(MASK, 255).save(tmp_path / f"a.{suffix}", **options)
    picture = read_mask_picture(tmp_path / f"a.{suffix}")
    assert picture.lossy is lossy and picture.kind == "grey"


@pytest.mark.parametrize(("values", "lossy"), [(8, False), (9, True)])
def test_reversible_jpeg_2000_of_many_values_may_have_been_cut_to_a_size(
    tmp_path: Path, values: int, lossy: bool
) -> None:
    Image.fromarray((np.arange(400).reshape(20, 20) % values).astype(np.uint8)).save(tmp_path / "a.jp2")
    assert read_mask_picture(tmp_path / "a.jp2").lossy is lossy


def test_the_tint_of_a_jpeg_is_not_a_colour(tmp_path: Path) -> None:
    for colour, kind in (((120, 128, 124), "grey"), ((90, 128, 110), "colour")):
        coloured(MASK | ~MASK, colour).save(tmp_path / "a.jpg", quality=95)
        assert read_mask_picture(tmp_path / "a.jpg").kind == kind


def test_brightness_and_colours(tmp_path: Path) -> None:
    with_palette(MASK, [0, 0, 40, 200, 10, 0]).save(tmp_path / "a.png")
    picture = read_mask_picture(tmp_path / "a.png")
    assert picture.palette == {0: (0, 0, 40), 1: (200, 10, 0)}
    assert picture.colour_counts == {(0, 0, 40): 42, (200, 10, 0): 6}
    np.testing.assert_array_equal(picture.brightness, np.where(MASK, 200, 40))
    np.testing.assert_array_equal(picture.colours[2, 3], (200, 10, 0))
    assert picture.histogram.shape == (256,) and (picture.histogram[40], picture.histogram[200]) == (42, 6)
    assert picture.content == "indices of a palette (0, 1)"


def test_indices_of_one_colour_count_together(tmp_path: Path) -> None:
    with_palette(MASK, [*RED, *RED]).save(tmp_path / "a.png")
    assert read_mask_picture(tmp_path / "a.png").colour_counts == {RED: 48}


def test_more_than_256_colours_are_not_counted(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_mask_picture(tmp_path / "a.png")
    assert picture.counts is picture.colour_counts is None and picture.content == "more than 256 colours"


BLACK = [
    ("greys", grey(MASK, 0), True),
    ("nothing to see", Image.new("RGBA", (8, 6), (255, 0, 0, 0)), True),
    ("a palette of black", with_palette(MASK, [0] * 768), False),  # its indices may mean something
    ("one grey", grey(MASK, 1, 1), False),
]


@pytest.mark.parametrize(("image", "is_black"), [case[1:] for case in BLACK], ids=[case[0] for case in BLACK])
def test_nothing_is_drawn(tmp_path: Path, image: Image.Image, is_black: bool) -> None:
    image.save(tmp_path / "a.png")
    assert read_mask_picture(tmp_path / "a.png").is_black is is_black


def _hidden(mode: str) -> Image.Image:
    image = grey(MASK, 255).convert(mode)
    image.putalpha(0)
    return image


# what is hidden, the picture, and how it is saved
HIDDEN = [
    ("white on black", _hidden("RGB"), {}),
    ("greys", _hidden("L"), {}),
    ("a palette", with_palette(MASK, [0, 0, 0, *RED]), {"transparency": b"\0\0"}),
]


@pytest.mark.parametrize(("image", "options"), [case[1:] for case in HIDDEN], ids=[case[0] for case in HIDDEN])
def test_a_shape_that_is_hidden_is_refused(tmp_path: Path, image: Image.Image, options: dict) -> None:
    image.save(tmp_path / "a.png", **options)
    with pytest.raises(InputError, match=r"a\.png: every pixel is transparent, but hides .*save the mask without tr"):
        read_mask_picture(tmp_path / "a.png")


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    Image.new("I;16", (8, 6)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: .*8 bits"):
        read_mask_picture(tmp_path / "a.png")


def test_values_in_messages() -> None:
    assert as_text(7) == "7" and as_text((250, 50, 83)) == "rgb(250,50,83)"
    assert as_list([3, 1, (1, 2, 3), 2]) == "1, 2, 3, rgb(1,2,3)"
    assert as_list(range(11)) == "0, 1, 2, 3, 4, 5, 6, 7 and 3 more"
