from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.data.video.dicom_header import read_header
from lsinet_monai.errors import InputError
from tests.data.video.dicom_files import BIG_ENDIAN, DEFLATED, EXPLICIT, H264, IMPLICIT, RAMP, RLE, check_exact, palette

PIXELS = bytes(range(24))
SMALL = {"Rows": 2, "Columns": 4}


@pytest.fixture
def read(tmp_path, recipe):
    """Write a file of one frame of 2 x 4 pixels, and read its header."""

    def read(content=PIXELS, syntax=EXPLICIT, vr="OB", **attributes):
        recipe.write_dicom(tmp_path / "a.dcm", content, syntax, vr, **SMALL, **attributes)
        return read_header(tmp_path / "a.dcm")

    return read


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN])
def test_attributes_and_the_place_of_the_pixels(read, syntax):
    header = read(syntax=syntax, NumberOfFrames=1, PlanarConfiguration=1)
    assert (header.syntax, header.frames, header.rows, header.columns) == (syntax, 1, 2, 4)
    assert (header.samples, header.photometric, header.planar, header.bits) == (3, "RGB", True, 8)
    assert header.palette is None and header.fps is None and header.frame_times == ()
    assert header.length == 24 and not header.is_swapped
    with header.open() as file:
        file.seek(header.start)
        assert file.read(24) == PIXELS


@pytest.mark.parametrize(("syntax", "content"), [(RLE, [b"12"]), (H264, [b"1234", b"56"])])
def test_encapsulated_pixels_have_no_length(read, syntax, content):
    header = read(content, syntax)
    assert header.length is None and header.frames is None
    with header.open() as file:
        file.seek(header.start)
        assert file.read(4) == b"\xfe\xff\x00\xe0"  # the item of the offset table


@pytest.mark.parametrize(("syntax", "vr", "is_swapped"), [
    (EXPLICIT, "OW", False),
    (BIG_ENDIAN, "OB", False),
    (BIG_ENDIAN, "OW", True),
])  # fmt: skip
def test_words_of_a_big_endian_file_are_swapped(read, syntax, vr, is_swapped):
    assert read(syntax=syntax, vr=vr).is_swapped is is_swapped


RATES = [
    ({}, None, ()),
    ({"FrameTime": "40"}, 25, ()),
    ({"FrameTime": "0"}, None, ()),
    ({"CineRate": "20"}, 20, ()),
    ({"RecommendedDisplayFrameRate": "15"}, 15, ()),
    ({"CineRate": "20", "RecommendedDisplayFrameRate": "15"}, 20, ()),
    ({"FrameTime": "40", "CineRate": "20"}, 25, ()),
    ({"FrameTime": "0.01"}, None, ()),  # no camera has 100000 frames per second
    ({"FrameTimeVector": ["0", "50", "40"]}, None, (0, 50, 40)),
    ({"FrameTimeVector": "0"}, None, (0,)),
]


@pytest.mark.parametrize(("attributes", "fps", "times"), RATES)
def test_rates_and_times(read, attributes, fps, times):
    header = read(**attributes)
    assert header.frame_times == times and (header.fps is None if fps is None else header.fps == pytest.approx(fps))


DAMAGES = [
    ("no DICOM", lambda data: b"x" * len(data)),
    ("cut off before the pixels", lambda data: data[: len(data) - 24 - 12]),
    ("another element in place of the pixels", lambda data: data.replace(b"\xe0\x7f\x10\x00", b"\xe0\x7f\x11\x00")),
    ("no transfer syntax", lambda data: data.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI")),
    ("too many frames", lambda data: data.replace(b"IS\x08\x001234567 ", b"IS\x08\x0099999999")),
    ("a number that is none", lambda data: data.replace(b"IS\x08\x001234567 ", b"IS\x08\x00Doe^Jane")),
]


@pytest.mark.parametrize("damage", [case[1] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_a_damaged_header_is_refused_without_the_patient(tmp_path, read, damage):
    read(NumberOfFrames="1234567")
    path = tmp_path / "a.dcm"
    data = path.read_bytes()
    assert damage(data) != data
    path.write_bytes(damage(data))
    with pytest.raises(InputError) as error:
        read_header(path)
    assert str(error.value) == f"{path}: its DICOM header is damaged or lacks what a video needs; replace it"
    assert error.value.__suppress_context__


@pytest.mark.parametrize("bits", ["8", "16", "8 in words", "16, but not used"])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN])
def test_a_palette_is_applied(tmp_path, recipe, clip, shape, bits, syntax):
    values = np.stack(clip)[..., 0]
    attributes = shape | palette(bits, order=">" if syntax == BIG_ENDIAN else "<")
    recipe.write_dicom(tmp_path / "a.dcm", values.tobytes(), syntax, **attributes)
    check_exact(tmp_path / "a.dcm", RAMP[values])


def test_a_palette_may_begin_at_a_later_value(tmp_path, recipe, clip, shape):
    values = np.stack(clip)[..., 0]
    recipe.write_dicom(tmp_path / "a.dcm", values.tobytes(), EXPLICIT, **(shape | palette("8", first=20)))
    check_exact(tmp_path / "a.dcm", RAMP[np.maximum(values, 20)])


def test_a_file_that_inflates_to_too_much_is_refused(tmp_path, recipe, clip, shape, monkeypatch):
    monkeypatch.setattr("lsinet_monai.data.video.dicom_header.MOST_INFLATED", 100_000)
    recipe.write_dicom(tmp_path / "a.dcm", np.stack(clip).tobytes(), DEFLATED, **shape)
    with pytest.raises(InputError, match="inflates to more than 100000 bytes"):
        read_header(tmp_path / "a.dcm")


def test_no_patient_attribute_of_a_deflated_file_is_kept(tmp_path, recipe, clip, shape):
    recipe.write_dicom(tmp_path / "a.dcm", np.stack(clip).tobytes(), DEFLATED, **shape)
    with read_header(tmp_path / "a.dcm").open() as file:
        content = file.read()
    assert np.stack(clip).tobytes() in content and recipe.PATIENT.encode() not in content
