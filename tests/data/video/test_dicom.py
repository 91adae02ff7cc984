from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.errors import InputError

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
JPEG, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
MPEG2, H264, HEVC = (f"1.2.840.10008.1.2.4.{number}" for number in (100, 102, 107))


@pytest.fixture
def shape(clip):
    return {"NumberOfFrames": len(clip), "Rows": 64, "Columns": 80}


def encoded(recipe, frames, kind="JPEG", **options):
    files = []
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, kind, **options)
        files.append(recipe.padded(file.getvalue()))
    return files


def check_exact(path, clip):
    with open_video(path) as video:
        assert video.size == (64, 80) and len(video) == len(clip)
        for (index, _, frame), expected in zip(video, clip, strict=True):
            assert (frame == expected).all() and (video[index] == expected).all()
        assert video.report.is_complete and video.report.expected == len(clip)


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


RAMP = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], axis=1).astype(np.uint8)


def palette(bits, first=0, order="<"):
    """The attributes of a palette with the colours of RAMP; 8 bits may lie in words of 16, or be said to be 16."""
    if bits == "8" and order == ">":  # two in a word, so swapped
        return palette(bits) | {
            f"{name}PaletteColorLookupTableData": RAMP[:, at].copy().view(np.uint16).byteswap().tobytes()
            for at, name in enumerate(("Red", "Green", "Blue"))
        }
    entries = {"8": RAMP, "16": RAMP.astype(f"{order}u2") * 257}.get(bits, RAMP.astype(f"{order}u2"))
    attributes = {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}
    for at, name in enumerate(("Red", "Green", "Blue")):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [256 - first, first, 8 if bits[0] == "8" else 16]
        attributes[f"{name}PaletteColorLookupTableData"] = entries[first:, at].tobytes()
    return attributes


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


def test_big_endian_pixels_may_lie_in_words(tmp_path, recipe):
    frames = np.random.default_rng(0).integers(256, size=(4, 5, 7, 3), dtype=np.uint8)  # of an odd size
    words = np.frombuffer(frames.tobytes(), np.uint16).byteswap().tobytes()
    attributes = {"NumberOfFrames": 4, "Rows": 5, "Columns": 7}
    recipe.write_dicom(tmp_path / "a.dcm", words, BIG_ENDIAN, vr="OW", **attributes)
    with open_video(tmp_path / "a.dcm") as video:
        assert all((frame == frames[index]).all() for index, _, frame in video) and len(video) == 4


def run_lengths(frame):
    """Encode a frame as PS3.5, annex G, with runs of one value only: one segment for each sample."""
    segments = []
    for sample in frame.reshape(-1, frame.shape[2] if frame.ndim == 3 else 1).T:
        ends = np.append(np.flatnonzero(np.diff(sample)) + 1, len(sample))
        encoded = b""
        for start, end in zip([0, *ends], ends, strict=False):
            for at in range(start, end, 128):
                count = min(128, end - at)
                encoded += bytes([257 - count if count > 1 else 0, sample[start]])
        segments.append(encoded + bytes(len(encoded) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), starts
    return header.tobytes() + b"".join(segments)


def test_run_lengths_are_decoded(tmp_path, recipe, clip, shape):
    recipe.write_dicom(tmp_path / "a.dcm", [run_lengths(frame) for frame in clip], RLE, PlanarConfiguration=1, **shape)
    check_exact(tmp_path / "a.dcm", clip)
    values = np.stack(clip)[..., 0]
    attributes = shape | palette("8")
    recipe.write_dicom(tmp_path / "a.dcm", [run_lengths(frame) for frame in values], RLE, **attributes)
    check_exact(tmp_path / "a.dcm", RAMP[values])


def test_a_damaged_run_is_skipped(tmp_path, recipe, clip, shape):
    files = [run_lengths(frame) for frame in clip]
    files[7] = files[7][:40]
    recipe.write_dicom(tmp_path / "a.dcm", files, RLE, PlanarConfiguration=1, **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert [index for index, _, _ in video] == [*range(7), *range(8, 24)] and video.report.skipped == (7,)


def test_jpeg_2000_is_exact_where_it_is_lossless(tmp_path, recipe, clip, shape):
    files = encoded(recipe, clip, "JPEG2000", irreversible=False, no_jp2=True)
    recipe.write_dicom(tmp_path / "a.dcm", files, JPEG_2000, PhotometricInterpretation="YBR_RCT", **shape)
    check_exact(tmp_path / "a.dcm", clip)


@pytest.mark.parametrize("parts", [1, 3])
def test_jpeg_frames_may_lie_in_several_fragments(tmp_path, recipe, clip, shape, parts):
    files = encoded(recipe, clip, quality=95, subsampling=0)
    size = 2 * (max(map(len, files)) // parts // 2 + 1)
    fragments = [file[at : at + size] for file in files for at in range(0, len(file), size)]
    assert len(fragments) >= parts * len(clip) - len(clip) // 2
    recipe.write_dicom(tmp_path / "a.dcm", fragments, JPEG, PhotometricInterpretation="YBR_FULL_422", **shape)
    check_exact(tmp_path / "a.dcm", [np.array(Image.open(io.BytesIO(file))) for file in files])


def test_the_header_says_that_a_jpeg_is_rgb_where_the_jpeg_says_nothing(tmp_path, recipe, clip, shape):
    # A JPEG with red, green and blue components, without a marker that says so.
    files = []
    for frame in clip:
        file = io.BytesIO()
        Image.frombytes("YCbCr", (80, 64), frame.tobytes()).save(file, "JPEG", quality=95, subsampling=0)
        data = file.getvalue()
        assert data[2:4] == b"\xff\xe0"
        files.append(recipe.padded(data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]))
    recipe.write_dicom(tmp_path / "a.dcm", files, JPEG, PhotometricInterpretation="RGB", **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert all(np.abs(frame.astype(int) - clip[index]).mean() < 3 for index, _, frame in video)


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
    files = encoded(recipe, clip)
    files[7] = files[7][: 2 * (len(files[7]) // 4)]
    recipe.write_dicom(tmp_path / "a.dcm", files, JPEG, **shape)
    with open_video(tmp_path / "a.dcm") as video:
        assert [recipe.number_of(frame) for *_, frame in video] == [*range(7), *range(8, 24)]
        assert video.report.skipped == (7,)


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


def test_a_file_that_inflates_to_too_much_is_refused(tmp_path, recipe, clip, shape, monkeypatch):
    monkeypatch.setattr("lsinet_monai.data.video.dicom_header.MOST_INFLATED", 100_000)
    recipe.write_dicom(tmp_path / "a.dcm", np.stack(clip).tobytes(), DEFLATED, **shape)
    with pytest.raises(InputError, match="inflates to more than 100000 bytes"):
        open_video(tmp_path / "a.dcm")


def test_no_patient_attribute_of_a_deflated_file_is_kept(tmp_path, recipe, clip, shape):
    recipe.write_dicom(tmp_path / "a.dcm", np.stack(clip).tobytes(), DEFLATED, **shape)
    with open_video(tmp_path / "a.dcm") as video, video._header.open() as file:
        assert recipe.PATIENT.encode() not in file.read()


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
