from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.data.video.dicom_header import Header
from lsinet_monai.data.video.dicom_pixels import frame_bytes, jpeg_of, pixels_of
from lsinet_monai.errors import InputError
from tests.data.video.dicom_files import (
    EXPLICIT,
    JPEG,
    JPEG_2000,
    RAMP,
    RLE,
    check_exact,
    encoded,
    palette,
    run_lengths,
)

HEADER = Header(
    syntax=EXPLICIT,
    frames=1,
    rows=2,
    columns=4,
    samples=3,
    photometric="RGB",
    planar=False,
    bits=8,
    stored_bits=8,
    is_signed=False,
    palette=None,
    fps=None,
    frame_times=(),
    start=0,
    length=24,
    is_swapped=False,
    open=io.BytesIO,
)
GREY = {"photometric": "MONOCHROME2", "samples": 1}
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
VALUES = PIXELS[..., 0]

# what the pixels are, the header, a frame's bytes, the frame in RGB
FRAMES = [
    ("RGB", {}, PIXELS.tobytes(), PIXELS),
    ("one colour after the other", {"planar": True}, PIXELS.transpose(2, 0, 1).tobytes(), PIXELS),
    ("grey", GREY, VALUES.tobytes(), VALUES),
    ("inverted grey, as it is stored", GREY | {"photometric": "MONOCHROME1"}, VALUES.tobytes(), VALUES),
    ("a palette", GREY | {"photometric": "PALETTE COLOR", "palette": RAMP}, VALUES.tobytes(), RAMP[VALUES]),
    ("run lengths", {"syntax": RLE}, run_lengths(PIXELS), PIXELS),
    ("run lengths of grey", GREY | {"syntax": RLE}, run_lengths(VALUES), VALUES),
]


@pytest.mark.parametrize(("changes", "data", "frame"), [case[1:] for case in FRAMES], ids=[case[0] for case in FRAMES])
def test_the_pixels_of_a_frame(tmp_path, changes, data, frame):
    header = dataclasses.replace(HEADER, **changes)
    assert (np.array(pixels_of(tmp_path, header)(data)) == frame).all()
    assert header.syntax == RLE or frame_bytes(header) == len(data)


def test_two_pixels_that_share_their_colour_take_four_bytes():
    assert frame_bytes(dataclasses.replace(HEADER, photometric="YBR_FULL_422")) == 2 * 4 * 2


def test_a_frame_that_is_cut_off_is_an_error(tmp_path):
    for header, data in ((HEADER, b"123"), (dataclasses.replace(HEADER, syntax=RLE), run_lengths(PIXELS)[:40])):
        with pytest.raises(ValueError):
            pixels_of(tmp_path, header)(data)


REFUSED = [
    ({"bits": 16}, "has 3 samples of 16 bits a pixel, photometric interpretation RGB; convert it to RGB of 8 bits"),
    ({"samples": 1}, "has 1 samples of 8 bits a pixel, photometric interpretation RGB"),
    (GREY | {"photometric": "PALETTE COLOR"}, "photometric interpretation other"),
    ({"photometric": "YBR_PARTIAL_420"}, "photometric interpretation YBR_PARTIAL_420;"),
    ({"photometric": "DOE^JANE"}, "photometric interpretation other;"),
    ({"photometric": "YBR_FULL_422", "columns": 3}, "photometric interpretation YBR_FULL_422;"),
    ({"photometric": "YBR_FULL_422", "syntax": RLE}, "photometric interpretation YBR_FULL_422;"),
]
UNUSUAL = [
    ({"BitsStored": 7, "HighBit": 6}, "uses 7 of the 8 bits of a sample, without a sign; convert it to RGB of 8 bits"),
    ({"PixelRepresentation": 1}, "uses 8 of the 8 bits of a sample, with a sign; convert it to RGB of 8 bits"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_pixels_that_cannot_be_converted_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        pixels_of(tmp_path / "a.dcm", dataclasses.replace(HEADER, **changes))
    assert "a.dcm: has" in str(error.value) and "DOE" not in str(error.value)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("JPEG2000", {"no_jp2": True})])
def test_a_jpeg_is_decoded(clip, kind, options):
    (data,) = encoded(clip[:1], kind, **options)
    assert (np.array(jpeg_of(HEADER)(data)) == np.array(Image.open(io.BytesIO(data)))).all()


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "RGB", "YBR_RCT"])
def test_a_jpeg_2000_of_ybr_becomes_rgb(clip, photometric):
    header = dataclasses.replace(HEADER, photometric=photometric)
    ybr = np.array(Image.fromarray(clip[0]).convert("YCbCr"))
    (data,) = encoded([ybr], "JPEG2000", no_jp2=True, mct=0)
    expected = np.array(Image.fromarray(ybr, "YCbCr").convert("RGB")) if photometric.startswith("YBR_FULL") else ybr
    assert (np.array(jpeg_of(header)(data).convert("RGB")) == expected).all()
    # What the codestream transforms, or a JP2 file names, is known whatever the header says.
    for options in ({"no_jp2": True, "mct": 1}, {"mct": 0}):
        (data,) = encoded(clip[:1], "JPEG2000", **options)
        assert (np.array(jpeg_of(header)(data).convert("RGB")) == clip[0]).all()


def test_other_pictures_than_jpegs_are_refused(clip):
    (data,) = encoded(clip[:1], "PNG")
    with pytest.raises(OSError):
        jpeg_of(HEADER)(data)


@pytest.mark.parametrize(("attributes", "message"), UNUSUAL)
def test_samples_of_fewer_bits_or_with_a_sign_are_refused(tmp_path, recipe, clip, shape, attributes, message):
    pixels = b"".join(frame.tobytes() for frame in clip)
    recipe.write_dicom(tmp_path / "a.dcm", pixels, EXPLICIT, **shape, **attributes)
    with pytest.raises(InputError, match=f"a.dcm: {message}"):
        open_video(tmp_path / "a.dcm")


# In a file --------------------------------------------------------------------------------------------------------


def test_uncompressed_ybr_becomes_rgb(tmp_path, recipe, clip, shape):
    pixels = b"".join(Image.fromarray(frame).convert("YCbCr").tobytes() for frame in clip)
    recipe.write_dicom(tmp_path / "a.dcm", pixels, EXPLICIT, PhotometricInterpretation="YBR_FULL", **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert all(np.abs(frame.astype(int) - clip[index]).max() <= 3 for index, _, frame in video)


def test_two_pixels_may_share_their_colour(tmp_path, recipe, clip, shape):
    pixels = np.stack([np.array(Image.fromarray(frame).convert("YCbCr")) for frame in clip])
    colour = pixels[:, :, ::2, 1:]
    data = np.concatenate([pixels[:, :, ::2, :1], pixels[:, :, 1::2, :1], colour], axis=3).tobytes()
    recipe.write_dicom(tmp_path / "a.dcm", data, EXPLICIT, PhotometricInterpretation="YBR_FULL_422", **shape)
    pixels[..., 1:] = np.repeat(colour, 2, axis=2)
    check_exact(tmp_path / "a.dcm", [np.array(Image.fromarray(frame, "YCbCr").convert("RGB")) for frame in pixels])


@pytest.mark.slow
def test_run_lengths_are_decoded(tmp_path, recipe, clip, shape):
    recipe.write_dicom(tmp_path / "a.dcm", [run_lengths(frame) for frame in clip], RLE, PlanarConfiguration=1, **shape)
    check_exact(tmp_path / "a.dcm", clip)
    values = np.stack(clip)[..., 0]
    attributes = shape | palette("8")
    recipe.write_dicom(tmp_path / "a.dcm", [run_lengths(frame) for frame in values], RLE, **attributes)
    check_exact(tmp_path / "a.dcm", RAMP[values])


def test_jpeg_2000_is_exact_where_it_is_lossless(tmp_path, recipe, clip, shape):
    check_exact_jpeg_2000(tmp_path, recipe, clip, shape, no_jp2=True)


def test_jpeg_2000_may_lie_in_jp2_files(tmp_path, recipe, clip, shape):
    check_exact_jpeg_2000(tmp_path, recipe, clip, shape, no_jp2=False)


def check_exact_jpeg_2000(tmp_path, recipe, clip, shape, no_jp2):
    files = encoded(clip, "JPEG2000", irreversible=False, no_jp2=no_jp2)
    recipe.write_dicom(tmp_path / "a.dcm", files, JPEG_2000, PhotometricInterpretation="YBR_RCT", **shape)
    check_exact(tmp_path / "a.dcm", clip)


def _without_marker(file: bytes) -> bytes:
    """Remove the marker that names the components of a JPEG."""
    assert file[2:4] == b"\xff\xe0"
    return file[:2] + file[4 + int.from_bytes(file[4:6], "big") :]


def test_the_header_says_that_a_jpeg_is_rgb_where_the_jpeg_says_nothing(tmp_path, recipe, clip, shape):
    # A JPEG with red, green and blue components, without a marker that says so.
    files = []
    for frame in clip:
        file = io.BytesIO()
        Image.frombytes("YCbCr", (80, 64), frame.tobytes()).save(file, "JPEG", quality=95, subsampling=0)
        files.append(recipe.padded(_without_marker(file.getvalue())))
    recipe.write_dicom(tmp_path / "a.dcm", files, JPEG, PhotometricInterpretation="RGB", **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert all(np.abs(frame.astype(int) - clip[index]).mean() < 3 for index, _, frame in video)


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_a_jpeg_with_small_components_is_no_rgb_whatever_the_header_says(clip, subsampling):
    (data,) = encoded(clip[:1], quality=95, subsampling=subsampling)
    bare = _without_marker(data)
    assert (np.array(jpeg_of(HEADER)(bare)) == np.array(Image.open(io.BytesIO(data)))).all()
