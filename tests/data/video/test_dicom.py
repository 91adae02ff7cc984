from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.errors import InputError
from tests.data.video.dicom_files import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    H264,
    HEVC,
    IMPLICIT,
    JPEG,
    MPEG2,
    RLE,
    check_exact,
    encoded,
    run_lengths,
)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN])
@pytest.mark.parametrize("planar", [0, 1])
def test_uncompressed_is_exact(tmp_path, recipe, clip, shape, syntax, planar):
    pixels = np.stack(clip)
    data = (pixels.transpose(0, 3, 1, 2) if planar else pixels).tobytes()
    recipe.write_dicom(tmp_path / "a.dcm", data, syntax, PlanarConfiguration=planar, **shape)
    check_exact(tmp_path / "a.dcm", clip)


@pytest.mark.parametrize(("photometric", "inverted"), [("MONOCHROME1", True), ("MONOCHROME2", False)])
def test_grey(tmp_path, recipe, clip, shape, photometric, inverted):
    grey = np.stack(clip)[..., 0]
    attributes = shape | {"SamplesPerPixel": 1, "PhotometricInterpretation": photometric}
    recipe.write_dicom(tmp_path / "a.dcm", grey.tobytes(), EXPLICIT, **attributes)
    check_exact(tmp_path / "a.dcm", np.repeat((255 - grey if inverted else grey)[..., None], 3, axis=-1))


def test_big_endian_pixels_may_lie_in_words(tmp_path, recipe):
    frames = np.random.default_rng(0).integers(256, size=(4, 5, 7, 3), dtype=np.uint8)  # of an odd size
    words = np.frombuffer(frames.tobytes(), np.uint16).byteswap().tobytes()
    attributes = {"NumberOfFrames": 4, "Rows": 5, "Columns": 7}
    recipe.write_dicom(tmp_path / "a.dcm", words, BIG_ENDIAN, vr="OW", **attributes)
    with open_video(tmp_path / "a.dcm") as video:
        assert all((frame == frames[index]).all() for index, _, frame in video) and len(video) == 4


def test_a_damaged_run_is_skipped(tmp_path, recipe, clip, shape):
    files = [run_lengths(frame) for frame in clip]
    files[7] = files[7][:40]
    recipe.write_dicom(tmp_path / "a.dcm", files, RLE, PlanarConfiguration=1, **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert [index for index, _, _ in video] == [*range(7), *range(8, 24)] and video.report.skipped == (7,)


@pytest.mark.parametrize("parts", [1, 3])
def test_jpeg_frames_may_lie_in_several_fragments(tmp_path, recipe, clip, shape, parts):
    files = encoded(clip, quality=95, subsampling=0)
    size = 2 * (max(map(len, files)) // parts // 2 + 1)
    fragments = [file[at : at + size] for file in files for at in range(0, len(file), size)]
    assert len(fragments) >= parts * len(clip) - len(clip) // 2
    recipe.write_dicom(tmp_path / "a.dcm", fragments, JPEG, PhotometricInterpretation="YBR_FULL_422", **shape)
    check_exact(tmp_path / "a.dcm", [np.array(Image.open(io.BytesIO(file))) for file in files])


STREAMS = [
    (H264, "libx264rgb", "rgb24", "mp4", 0),
    (H264, "libx264rgb", "rgb24", "h264", 0),
    (H264, "libx264", "yuv420p", "mpegts", 2),
    (H264, "libx264", "yuv420p", "h264", 2),
    (H264 + ".1", "libx264", "yuv420p", "mp4", 2),
    (HEVC, "libx265", "yuv420p", "hevc", 0),
    (MPEG2, "mpeg2video", "yuv420p", "mpeg2video", 2),
]


@pytest.mark.parametrize(("syntax", "codec", "pixels", "kind", "b_frames"), STREAMS)
@pytest.mark.parametrize("fragments", [1, 3])
def test_an_encapsulated_stream(tmp_path, recipe, clip, shape, syntax, codec, pixels, kind, b_frames, fragments):
    file = io.BytesIO()
    options = {"x265-params": "log-level=none"} if codec == "libx265" else None
    recipe.write_video(file, clip, codec, pixels, kind=kind, b_frames=b_frames, options=options)
    data = recipe.padded(file.getvalue())
    size = 2 * (len(data) // fragments // 2 + 1)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    recipe.write_dicom(tmp_path / "a.dcm", parts, syntax, FrameTime="33.333", **shape)
    with open_video(tmp_path / "a.dcm") as video:
        frames = list(video)
        assert [recipe.number_of(frame) for *_, frame in frames] == [index for index, *_ in frames] == list(range(24))
        assert [seconds for _, seconds, _ in frames] == pytest.approx([index / 30 for index in range(24)], abs=1e-3)
        assert video.report.is_complete and video.report.expected == 24
        assert (video[13] == frames[13][2]).all()
        if pixels == "rgb24":
            assert all((frame == clip[index]).all() for index, _, frame in frames)


TIMES = [
    ({"FrameTime": "40"}, {}, 25),
    ({"CineRate": "20"}, {}, 20),
    ({"RecommendedDisplayFrameRate": "15"}, {}, 15),
    ({"FrameTime": "40"}, {"fps": 10}, 25),
    ({}, {"fps": 10}, 10),
    ({}, {}, 30),
    ({"FrameTimeVector": ["0"] + ["50"] * 23}, {}, 20),
    ({"FrameTime": "0"}, {}, 30),
]


@pytest.mark.parametrize(("attributes", "options", "fps"), TIMES)
def test_times(tmp_path, recipe, clip, shape, attributes, options, fps):
    recipe.write_dicom(tmp_path / "a.dcm", np.stack(clip).tobytes(), EXPLICIT, **shape, **attributes)
    with open_video(tmp_path / "a.dcm", **options) as video:
        assert video.fps == pytest.approx(fps) and video.seconds(23) == pytest.approx(23 / fps)


# Damage and privacy -----------------------------------------------------------------------------------------------


def test_a_damaged_frame_is_skipped_and_reported(tmp_path, recipe, clip, shape):
    files = encoded(clip)
    files[7] = files[7][: 2 * (len(files[7]) // 4)]
    recipe.write_dicom(tmp_path / "a.dcm", files, JPEG, **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert [recipe.number_of(frame) for *_, frame in video] == [*range(7), *range(8, 24)]
        assert video.report.skipped == (7,)


@pytest.mark.parametrize(("number", "said"), [(23, "NumberOfFrames is 23"), (None, "NumberOfFrames is missing")])
@pytest.mark.parametrize("form", ["uncompressed", "JPEG"])
def test_more_frames_than_the_header_counts_are_said(tmp_path, recipe, clip, form, number, said):
    recipe.write_dicom_video(tmp_path / "a.dcm", form, clip, NumberOfFrames=number)
    with open_video(tmp_path / "a.dcm") as video:
        assert [index for index, _, _ in video] == [*range(number or 1)] and video.report.is_complete
        assert f"{said}, but the file holds more frames, which are not read: mend that number" in str(video.report)


def test_a_byte_of_padding_is_no_frame(tmp_path, recipe, clip, shape):
    pixels = b"".join(frame[:, :79].tobytes() for frame in clip[:1]) + b"\0"
    recipe.write_dicom(tmp_path / "a.dcm", pixels, EXPLICIT, **shape | {"Columns": 79, "NumberOfFrames": 1})
    with open_video(tmp_path / "a.dcm") as video:
        assert len(video) == 1 and not video.report.notes


@pytest.mark.parametrize("form", ["uncompressed", "JPEG", "H.264"])
def test_a_file_that_ends_early_is_reported(tmp_path, recipe, clip, form):
    path = tmp_path / "a.dcm"
    recipe.write_dicom_video(path, form, clip)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_video(path) as video:
        frames = list(video)
        assert 5 < len(frames) < 20 and all(recipe.number_of(frame) == index for index, _, frame in frames)
        assert video.report.ends_early and (video.report.expected, video.report.found) == (24, len(frames))


def bad_files(recipe, clip, shape):
    pixels = np.stack(clip).tobytes()
    yield (
        "lossless JPEG",
        ([b"\xff\xd8"], "1.2.840.10008.1.2.4.70"),
        shape,
        r"1\.2\.840\.10008\.1\.2\.4\.70 is not supported",
    )
    yield "16 bits", (pixels, EXPLICIT), shape | {"BitsAllocated": 16}, "samples of 16 bits"
    yield "palette", (pixels, EXPLICIT), shape | {"PhotometricInterpretation": "PALETTE COLOR"}, "convert it to RGB"
    yield (
        "half colours",
        (pixels, EXPLICIT),
        shape | {"PhotometricInterpretation": "YBR_PARTIAL_420"},
        "YBR_PARTIAL_420;",
    )
    yield "another", (pixels, EXPLICIT), shape | {"PhotometricInterpretation": "DOE"}, "interpretation other; convert"
    yield (
        "odd",
        (pixels, EXPLICIT),
        shape | {"PhotometricInterpretation": "YBR_FULL_422", "Columns": 79},
        "YBR_FULL_422",
    )
    yield "no size", (pixels, EXPLICIT), shape | {"Rows": 0}, "have no size"
    yield "no stream", ([], H264), shape, "is empty"
    yield "no video", ([b"garbage" * 50], H264), shape, "cannot be read as a video"
    yield "no JPEG", ([b"garbage!" * 50] * 24, JPEG), shape, "none of its 24 frames"


def test_what_cannot_be_read_is_refused_in_one_line_without_the_patient(tmp_path, recipe, clip, shape, caplog):
    path = tmp_path / "a.dcm"
    for what, content, attributes, message in bad_files(recipe, clip, shape):
        recipe.write_dicom(path, *content, **attributes)
        with caplog.at_level(logging.DEBUG), pytest.raises(InputError, match=message) as error:
            open_video(path)
        assert "\n" not in str(error.value), what
        assert not any(part in str(error.value) + caplog.text for part in ("Doe", "4711", "1950")), what


def test_no_patient_attribute_is_kept_or_shown(tmp_path, recipe, clip, shape, caplog, recwarn):
    path = tmp_path / "a.dcm"
    recipe.write_dicom(path, np.stack(clip).tobytes(), EXPLICIT, **shape)
    data = path.read_bytes()
    assert recipe.PATIENT.encode() in data
    with caplog.at_level(logging.DEBUG), open_video(path) as video:
        shown = f"{video.report} {vars(video)} {caplog.text} {[str(warning.message) for warning in recwarn]}"
    path.write_bytes(data[: data.index(b"MRN-4711") + 3])  # ends within the patient's attributes
    with caplog.at_level(logging.DEBUG), pytest.raises(InputError, match="header is damaged") as error:
        open_video(path)
    assert error.value.__cause__ is None and error.value.__suppress_context__
    shown += f"{error.value} {caplog.text} {[str(warning.message) for warning in recwarn]}"
    assert not any(part in shown for part in ("Doe", "MRN", "1950"))
