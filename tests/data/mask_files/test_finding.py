from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lsinet_monai.data.mask_files import find_map_rule, find_mask_rule, list_values, read_mask
from lsinet_monai.errors import InputError
from tests.data.mask_files.conftest import DISCS, coloured, disc, grey, with_palette

RED, CVAT, DAVIS = (255, 0, 0), (250, 50, 83), (128, 0, 0)


def _transparent(mask, colour):
    return Image.fromarray(np.dstack([np.full((*mask.shape, 3), colour, np.uint8), mask.astype(np.uint8) * 255]))


def _larger(image):
    return image.resize((112, 80), Image.Resampling.BILINEAR)


# what it is, how a mask is drawn, suffix, how the rule begins
READ = [
    ("0 and 1", lambda m: grey(m, 1), "png", "1 is polyp, 0 is background"),
    ("0 and 2", lambda m: grey(m, 2), "png", "2 is polyp"),
    ("0 and 128", lambda m: grey(m, 128), "png", "128 is polyp"),
    ("0 and 255", lambda m: grey(m, 255), "png", "grey above 128 is polyp"),
    ("0 and 255, 3 channels", lambda m: coloured(m, (255, 255, 255)), "bmp", "grey above 128 is polyp"),
    ("1 bit", Image.fromarray, "png", "grey above 128 is polyp"),
    ("a palette of black and white", lambda m: with_palette(~m, [255, 255, 255, 0, 0, 0]), "png", "grey above 128"),
    ("red", lambda m: coloured(m, RED), "png", "rgb(255,0,0) is polyp, rgb(0,0,0) is background"),
    ("DAVIS's palette", lambda m: with_palette(m, [0, 0, 0, *DAVIS]), "png", "index 1 = rgb(128,0,0) is polyp"),
    ("CVAT's palette", lambda m: with_palette(m, [0, 0, 0, *CVAT]), "png", "index 1 = rgb(250,50,83) is polyp"),
    ("a palette without black", lambda m: with_palette(m, [68, 1, 84, 253, 231, 37]), "png", "index 1 = rgb("),
    ("a palette of black only", lambda m: with_palette(m, [0] * 768), "png", "index 1 = rgb(0,0,0) is polyp"),
    ("opaque white", lambda m: _transparent(m, 255), "png", "grey above 128 is polyp"),
    ("opaque black", lambda m: _transparent(m, 0), "png", "opacity above 128 is polyp"),
    ("grey JPEG", lambda m: grey(m, 255), "jpg", "grey above 128 is polyp"),
    ("dark JPEG", lambda m: grey(m, 128), "jpg", "grey above 6"),
    ("red JPEG", lambda m: coloured(m, RED), "jpg", "rgb("),
    ("CVAT's colour as JPEG", lambda m: coloured(m, CVAT), "jpg", "rgb("),
]


@pytest.mark.parametrize(("draw", "suffix", "rule"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_what_is_polyp_is_found(save, draw, suffix, rule):
    paths = save(draw, suffix)
    found = find_mask_rule(paths)
    assert str(found).startswith(rule)
    lossy = suffix == "jpg"
    for path, mask in zip(paths, DISCS, strict=True):
        for read in (read_mask(path, found), read_mask(path)):
            assert read.dtype == bool and read.shape == mask.shape
            assert np.count_nonzero(read != mask) <= (0.06 * mask.sum() if lossy else 0)


@pytest.mark.parametrize(("suffix", "value"), [("jpg", 1), ("png", 1), ("jpg", 2)])
def test_masks_of_0_and_1_next_to_noise_or_soft_edges_are_refused(tmp_path, suffix, value):
    paths = []
    for number, mask in enumerate(DISCS * 2):
        white = _larger(grey(mask, 255)) if suffix == "png" else grey(mask, 255)
        image, name = (white, f"{number}.{suffix}") if number % 2 else (grey(mask, value), f"{number}.png")
        image.save(tmp_path / name)
        paths.append(tmp_path / name)
    with pytest.raises(InputError, match=rf"\.png holds 0, {value}, none of them near 255.*Give mask_values"):
        find_mask_rule(paths)


@pytest.mark.parametrize("draw", [lambda m: grey(m, 255), lambda m: grey(m, 128), lambda m: coloured(m, CVAT)])
def test_soft_edges_are_cut_in_the_middle(save, draw):
    paths = save(lambda mask: _larger(draw(mask)))
    rule = find_mask_rule(paths)
    for path, mask in zip(paths, DISCS, strict=True):
        wanted = np.asarray(_larger(grey(mask, 255))) > 128
        assert np.count_nonzero(read_mask(path, rule) != wanted) <= 0.05 * wanted.sum()


def _classes(mask):
    classes = mask.astype(np.uint8)
    classes[:12, :12] = 2
    return classes


def _void(mask):
    return np.where(mask, 1, np.where(disc(22, 16), 255, 0))


# what it is, how a mask is drawn, suffix, what the message says
REFUSED = [
    ("three classes", lambda m: Image.fromarray(_classes(m)), "png", "they hold 0, 1, 2. Give mask_values, such as 1"),
    ("three greys", lambda m: Image.fromarray(_classes(m) * 127), "png", "also holds brighter values, up to 254"),
    ("three greys as JPEG", lambda m: Image.fromarray(_classes(m) * 127), "jpg", "also holds brighter values"),
    ("a void border", lambda m: Image.fromarray(_void(m).astype(np.uint8)), "png", "they hold 0, 1, 255"),
    ("two objects", lambda m: with_palette(_classes(m), [0, 0, 0, *DAVIS, 0, 128, 0]), "png", r"2 = rgb\(0,128,0\)"),
    ("two colours", lambda m: with_palette(_classes(m), [0, 0, 0, *RED, 0, 255, 0]).convert("RGB"), "png", "0,255,0"),
    ("two colours as JPEG", lambda m: with_palette(_classes(m), [0, 0, 0, *RED, 0, 255, 0]).convert("RGB"), "jpg",
     "also holds other colours"),
    ("1 and 2", lambda m: grey(m, 2, 1), "png", "they hold 1, 2"),
    ("black on white", lambda m: grey(~m, 255), "png", "covers most of their area and border"),
    ("red on white", lambda m: coloured(m, RED, (255, 255, 255)), "png", "no black as background"),
    ("red before black in a palette", lambda m: with_palette(~m, [*RED, 0, 0, 0]), "png", "0 = rgb"),
    ("0 and 4 as JPEG", lambda m: grey(m, 4), "jpg", "they hold 0, 1, 2, 3, 4"),
    ("all white", lambda m: grey(m | ~m, 255), "png", "every pixel is 255"),
    ("all black", lambda m: grey(m, 0), "png", r"none of the 3 masks shows a polyp \(all are black\)"),
    ("noise", lambda m: Image.fromarray(np.random.default_rng(0).integers(256, size=m.shape, dtype=np.uint8)), "png",
     "also holds"),
]  # fmt: skip


@pytest.mark.parametrize(("draw", "suffix", "message"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_is_not_clear_is_refused(save, draw, suffix, message):
    with pytest.raises(InputError, match=message) as error:
        find_mask_rule(save(draw, suffix))
    assert "GT/case1" in str(error.value) and "\n" not in str(error.value)


# what a person says, how a mask is drawn, the value of a polyp in classes
GIVEN = [
    (1, lambda m: Image.fromarray(_classes(m))),
    ("1", lambda m: with_palette(_classes(m), [0, 0, 0, *DAVIS, 0, 128, 0])),
    ([1], lambda m: Image.fromarray(_classes(m))),
    ("rgb(255,0,0)", lambda m: with_palette(_classes(m), [0, 0, 0, *RED, 0, 255, 0]).convert("RGB")),
    (0, lambda m: grey(~m, 255)),
    ("<128", lambda m: grey(~m, 250)),
    ("> 1", lambda m: grey(m, 4)),
]


@pytest.mark.parametrize(("mask_values", "draw"), GIVEN)
def test_a_person_decides(save, mask_values, draw):
    paths = save(draw)
    rule = find_mask_rule(paths, mask_values)
    for path, mask in zip(paths, DISCS, strict=True):
        np.testing.assert_array_equal(read_mask(path, rule), mask)


def test_an_index_of_another_palette_is_refused(save):
    paths = save(lambda m: with_palette(m, [0, 0, 0, *RED]))
    with_palette(DISCS[2], [0, 0, 0, 0, 255, 0]).save(paths[2])
    with pytest.raises(InputError, match=r"2\.png has another palette, .*, while index 1 = rgb\(255,0,0\) is polyp"):
        find_mask_rule(paths, 1)


@pytest.mark.parametrize("mask_values", [0, 255, ">128", "<128", "rgb(0,0,0)"])
def test_a_given_value_is_not_compared_with_opacity(save, mask_values):
    paths = save(lambda m: _transparent(m, 0))
    with pytest.raises(
        InputError, match=r"0\.png holds opacities .*: leave out gt_values, the opacity is read"
    ) as error:
        find_mask_rule(paths, mask_values, key="gt_values")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mask_values", [7, "rgb(1,2,3)", ">200"])
def test_a_value_that_no_mask_has_is_refused(save, mask_values):
    with pytest.raises(InputError, match=r"none of the 3 masks shows a polyp .*as given"):
        find_mask_rule(save(lambda m: grey(m, 128)), mask_values)


LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ninstrument:0,255,0::\n{}:255,0,0::\n"


@pytest.mark.parametrize(("folder", "label", "mask_values"), [
    ("data/SegmentationClass", "polyp", None),
    ("TrainDataset/GT/case1", "Polyp (flat)", None),
    ("GT", "lesion", "lesion"),
])  # fmt: skip
def test_a_class_list_says_which_colour_is_polyp(tmp_path, save, folder, label, mask_values):
    (tmp_path / folder.partition("/")[0] / "labelmap.txt").parent.mkdir(parents=True)
    (tmp_path / folder.partition("/")[0] / "labelmap.txt").write_text(LABELMAP.format(label))
    paths = save(lambda m: with_palette(_classes(m), [0, 0, 0, *RED, 0, 255, 0]), folder=folder)
    rule = find_mask_rule(paths, mask_values)
    assert mask_values or f"({label}; not instrument)" in str(rule)
    for path, mask in zip(paths, DISCS, strict=True):
        np.testing.assert_array_equal(rule.read(path), mask)


def test_cases_whose_class_lists_disagree_are_refused(tmp_path, save):
    paths = []
    for case, labels in (("case1", "polyp:255,0,0\ntool:0,255,0"), ("case2", "polyp:0,255,0\ntool:255,0,0")):
        paths += save(lambda m: coloured(m, RED), folder=f"GT/{case}")
        (tmp_path / f"GT/{case}/labelmap.txt").write_text(labels)
    for mask_values in (None, "polyp"):
        with pytest.raises(
            InputError, match=r"polyp is rgb.*case1/labelmap\.txt, but rgb.*case2/labelmap\.txt"
        ) as error:
            find_mask_rule(paths, mask_values)
        assert "\n" not in str(error.value)
    assert list_values(paths) == {"rgb(0,0,0)": 6, "rgb(255,0,0)": 6}
    assert find_mask_rule(paths, "rgb(255,0,0)").read(paths[0]).any()


def test_some_inverted_masks_are_refused_or_noted(save, caplog):
    paths = [path for case in range(4) for path in save(lambda m: grey(m, 255), folder=f"GT/case{case}")]
    grey(~DISCS[0], 255).save(paths[3])
    find_mask_rule(paths)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"1 of 12 masks read, such as {paths[3]}, look inverted" in warning
    save(lambda m: grey(~m, 255), folder="GT/case1")
    with pytest.raises(InputError, match=r"3 of 12 masks read, such as .*case1/0\.png, look inverted: invert them"):
        find_mask_rule(paths)
    assert find_mask_rule(paths, ">128").read(paths[3])[0, 0]


def test_a_large_set_is_sampled_until_a_mask_shows_a_polyp(tmp_path, save, caplog):
    caplog.set_level(logging.INFO)
    black = tmp_path / "black.png"
    grey(DISCS[0], 0).save(black)
    paths = [tmp_path / f"{number:04d}.png" for number in range(300)]
    for path in paths:
        path.hardlink_to(black)
    with pytest.raises(InputError, match="none of the 300 masks shows a polyp"):
        find_mask_rule(paths)
    paths[200].unlink()
    grey(DISCS[0], 1).save(paths[200])
    assert str(find_mask_rule(paths)) == "1 is polyp, 0 is background"
    assert f"{tmp_path}: 1 is polyp, 0 is background (" in caplog.text and "of 300 masks read)" in caplog.text


def test_damaged_masks_are_left_to_who_reads_them(tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    grey(DISCS[0], 0).save(tmp_path / "black.png")
    rule = find_mask_rule([tmp_path / "damaged.png", tmp_path / "black.png"])
    assert not rule.read(tmp_path / "black.png").any()
    with pytest.raises(InputError, match=r"damaged\.png: cannot be read"):
        rule.read(tmp_path / "damaged.png")


# what the maps are, how one is drawn, what is polyp in them (None: they are probabilities)
MAPS = [
    ("masks of 0 and 1", lambda m: grey(m, 1), "1 is polyp, 0 is background"),
    ("masks of 0 and 128", lambda m: grey(m, 128), "128 is polyp, 0 is background"),
    ("masks of 0 and 255", lambda m: grey(m, 255), None),
    ("masks in DAVIS's palette", lambda m: with_palette(m, [0, 0, 0, *DAVIS]), "index 1 = rgb(128,0,0) is polyp"),
    ("probabilities", lambda m: _larger(grey(m, 180, 3)), None),
    ("faint probabilities", lambda m: _larger(grey(m, 3)), None),
    ("all black", lambda m: grey(m, 0), None),
    ("one grey", lambda m: grey(m, 40, 40), None),
]


@pytest.mark.parametrize(("draw", "rule"), [case[1:] for case in MAPS], ids=[case[0] for case in MAPS])
def test_masks_among_maps_are_recognised(save, draw, rule):
    found = find_map_rule(save(draw), "ours")
    assert found is None if rule is None else str(found).startswith(rule)


def test_one_map_of_probabilities_makes_all_such(tmp_path, save):
    paths = save(lambda m: grey(m, 1))
    _larger(grey(DISCS[0], 200)).save(tmp_path / "soft.png")
    assert find_map_rule([*paths, tmp_path / "soft.png"], "ours") is None


@pytest.mark.parametrize("quality", [75, 95])
def test_lossy_webp_of_0_and_1_is_refused(save, quality):
    paths = save(lambda m: grey(m, 1), "webp", quality=quality)
    values = {int(value) for path in paths for value in np.unique(Image.open(path).convert("L"))}
    assert values == {0, 1}  # though the compression has moved the edge
    for options in ({}, {"mask_values": 1}):
        with pytest.raises(InputError, match=r"0, 1\)?, too dark to tell from the noise of their compression .*PNG"):
            find_mask_rule(paths, **options)
    with pytest.raises(InputError, match=r"0, 1, too dark"):
        read_mask(paths[0])
    with pytest.raises(InputError, match=r"ours: the maps hold 0, 1, too dark"):
        find_map_rule(paths, "ours")


LOSSLESS = [("webp", {"lossless": True}), ("jp2", {"irreversible": False})]


@pytest.mark.parametrize(("suffix", "options"), LOSSLESS)
def test_lossless_masks_of_0_and_1_are_read(save, suffix, options):
    paths = save(lambda m: grey(m, 1), suffix, **options)
    assert str(find_mask_rule(paths)) == str(find_map_rule(paths, "ours")) == "1 is polyp, 0 is background"
    rule = find_mask_rule(paths, mask_values=1)
    assert all((read_mask(path, rule) == mask).all() for path, mask in zip(paths, DISCS, strict=True))
    paths = save(lambda m: Image.fromarray(_classes(m)), suffix, **options)
    rule = find_mask_rule(paths, mask_values=2)
    assert all((read_mask(path, rule) == (_classes(mask) == 2)).all() for path, mask in zip(paths, DISCS, strict=True))


def test_lossy_jpeg_2000_of_0_and_1_is_refused(save):
    paths = save(lambda m: grey(m, 1), "jp2", irreversible=True)
    for options in ({}, {"mask_values": 1}):
        with pytest.raises(InputError, match=r"0, 1\)?, too dark to tell from the noise of their compression .*PNG"):
            find_mask_rule(paths, **options)


def test_coloured_maps_are_refused(save):
    with pytest.raises(InputError, match=r"ours: the maps are neither grey nor clear masks.*save them as grey"):
        find_map_rule(save(lambda m: with_palette(_classes(m), [0, 0, 0, *RED, 0, 255, 0])), "ours")


VALUES = st.integers(0, 255)
COLOURS = st.tuples(VALUES, VALUES, VALUES)
DRAWINGS = st.one_of(
    st.builds(lambda a, b: lambda m: grey(m, a, b), VALUES, VALUES),
    st.builds(lambda a, b: lambda m: coloured(m, a, b), COLOURS, COLOURS),
    st.builds(lambda a: lambda m: coloured(m, a), COLOURS),
    st.builds(lambda a, b: lambda m: with_palette(m, [*a, *b]), COLOURS, COLOURS),
    st.builds(lambda a, b: lambda m: with_palette(~m, [*a, *b]), COLOURS, COLOURS),
    st.builds(lambda a: lambda m: _transparent(m, a), VALUES),
    st.lists(VALUES, min_size=3, max_size=3, unique=True).map(
        lambda values: lambda m: Image.fromarray(np.array(values, np.uint8)[_classes(m)])
    ),
)


@pytest.mark.slow
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=DRAWINGS)
def test_a_disc_is_read_as_this_disc_or_refused(save, draw):
    _check_discs(save, draw, "png", tolerance=0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(colour=COLOURS, background=st.one_of(st.just((0, 0, 0)), COLOURS), quality=st.sampled_from([40, 75, 95]))
def test_a_disc_in_a_jpeg_is_read_as_this_disc_or_refused(save, colour, background, quality):
    _check_discs(save, lambda mask: coloured(mask, colour, background), "jpg", tolerance=0.2, quality=quality)


@pytest.mark.parametrize("colour", [RED, CVAT, (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 128, 128)])
@pytest.mark.parametrize("quality", [50, 75, 90])
def test_one_colour_in_a_small_jpeg_with_half_the_colours(tmp_path, colour, quality):
    paths = [tmp_path / f"{side}.jpg" for side in (48, 64, 128)]
    masks = [np.hypot(*(np.mgrid[:side, :side] - side / 2)) < side / 4 for side in (48, 64, 128)]
    for path, mask in zip(paths, masks, strict=True):
        coloured(mask, colour).save(path, quality=quality, subsampling="4:2:0")
    rule = find_mask_rule(paths)
    for path, mask in zip(paths, masks, strict=True):
        assert np.count_nonzero(mask != read_mask(path, rule)) <= 0.05 * mask.sum()


def _check_discs(save, draw, suffix, tolerance, **options):
    try:
        paths = save(draw, suffix, **options)
        rule = find_mask_rule(paths)
        masks = [read_mask(path, rule) for path in paths]
    except InputError as error:
        assert "\n" not in str(error)
        return
    for mask, read in zip(DISCS, masks, strict=True):
        assert np.count_nonzero(mask != read) <= tolerance * mask.sum()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), mode=st.sampled_from(["L", "P", "RGB", "RGBA", "LA"]), count=st.integers(1, 4))
def test_no_picture_becomes_an_empty_mask_without_a_word(tmp_path, data, mode, count):
    channels = len(mode) if mode != "P" else 1
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for path in paths:
        values = data.draw(st.lists(VALUES, min_size=1, max_size=4))
        pixels = data.draw(st.binary(min_size=12 * channels, max_size=12 * channels))
        array = np.array(values, np.uint8)[np.frombuffer(pixels, np.uint8) % len(values)].reshape(3, 4, channels)
        image = Image.fromarray(array.squeeze(), "L" if mode == "P" else mode)
        if mode == "P":
            image.putpalette(list(data.draw(st.binary(min_size=768, max_size=768))))
        image.save(path)
    try:
        rule = find_mask_rule(paths)
        assert any(rule.read(path).any() for path in paths)
    except InputError as error:
        assert "\n" not in str(error)


def test_of_one_mask_the_grey_counts(tmp_path: Path) -> None:
    for value, polyp in ((0, False), (128, False), (129, True), (255, True)):
        Image.new("L", (4, 3), value).save(tmp_path / "mask.png")
        assert (read_mask(tmp_path / "mask.png") == polyp).all()
    Image.new("L", (4, 3), 1).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"mask\.png: what is polyp in the masks is not clear: every pixel is 1"):
        read_mask(tmp_path / "mask.png")


# what the masks are, how a mask of 1 and 2 is drawn, the values to choose from
LISTED = [
    ("greys", Image.fromarray, ["0", "1", "2"]),
    ("a palette", lambda m: with_palette(m, [0, 0, 0, *CVAT, *RED]), ["rgb(0,0,0)", "rgb(250,50,83)", "rgb(255,0,0)"]),
    ("a palette with one colour twice", lambda m: with_palette(m, [0, 0, 0, *RED, *RED]), ["0", "1", "2"]),
    ("many greys", lambda m: Image.fromarray((m * np.arange(0, 112, 2)).astype(np.uint8)), [">128", "<128"]),
]


@pytest.mark.parametrize(("draw", "values"), [case[1:] for case in LISTED], ids=[case[0] for case in LISTED])
def test_values_to_choose_from(tmp_path, draw, values):
    mask = np.zeros((40, 56), np.uint8)
    mask[5:20, 5:20], mask[25:35, 30:50] = 1, 2
    draw(mask).save(tmp_path / "1.png")
    draw(mask).save(tmp_path / "2.png")
    draw(np.zeros_like(mask)).save(tmp_path / "3.png")
    listed = list_values([tmp_path / f"{number}.png" for number in (1, 2, 3)])
    assert [*listed] == values and {listed[values[-1]], listed[values[-2]]} == {2}
    find_mask_rule([tmp_path / "1.png"], values[-1])


def test_values_to_choose_from_are_names_where_masks_have_labels(tmp_path):
    with_palette(np.eye(40, dtype=np.uint8), [0, 0, 0, *CVAT]).save(tmp_path / "1.png")
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nadenoma:250,50,83::\n")
    assert list_values([tmp_path / "1.png"]) == {"background": 1, "adenoma": 1}
