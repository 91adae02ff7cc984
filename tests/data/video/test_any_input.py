"""Any file is read, completely or in part, or refused in one line; nothing crashes or hangs."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.errors import InputError

PATIENCE = 60  # seconds for a file of some kilobytes, on a machine that is busy with other things

quietly = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_all(path):
    """Read a file in every way, and check that the results agree."""
    try:
        with open_video(path) as video:
            found = [index for index, _, frame in video if frame.shape == (*video.size, 3)]
            report = video.report
            assert found == sorted(set(found)) and len(found) == report.found <= len(video)
            assert not set(found) & set(report.skipped) and len(found) + len(report.skipped) == len(video)
            for index in (0, len(video) // 2, len(video) - 1):
                try:
                    assert video[index].shape == (*video.size, 3)
                except InputError as error:
                    assert "is damaged or lost" in str(error)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def check(path, content):
    path.write_bytes(content)
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(read_all, path).result(PATIENCE)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


SEEDS = [
    ("H.264, B-frames", "mp4"),
    ("H.264, B-frames", "avi"),
    ("H.264, B-frames", "ts"),
    ("H.265", "mkv"),
    ("MPEG-4", "mov"),
    ("MPEG-2, B-frames", "mpg"),
    ("MJPEG", "avi"),
    ("VP9", "webm"),
    ("AV1", "mp4"),
    ("FFV1", "mkv"),
    ("WMV", "wmv"),
    ("FLV", "flv"),
    ("bare H.264", "h264"),
    ("pictures", "gif"),
    ("pictures", "png"),
    ("pictures", "webp"),
    ("pictures", "tif"),
    ("DICOM", "uncompressed"),
    ("DICOM", "JPEG"),
    ("DICOM", "H.264"),
]


@pytest.fixture(scope="module", params=SEEDS, ids=" ".join)
def seed(request, recipe, clip, tmp_path_factory):
    """The bytes of a small valid file."""
    name, suffix = request.param
    folder, frames = tmp_path_factory.mktemp("seed"), clip[:12]
    if name == "pictures":
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(folder / f"a.{suffix}", save_all=True, append_images=pictures[1:])
        return (folder / f"a.{suffix}").read_bytes()
    if name != "DICOM":
        return recipe.write_kind(folder, suffix, name, frames).read_bytes()
    recipe.write_dicom_video(folder / "a.dcm", suffix, frames)
    return (folder / "a.dcm").read_bytes()


@quietly
@given(content=st.binary(max_size=4000))
def test_random_bytes(tmp_path, content):
    check(tmp_path / "any", content)


@quietly
@given(content=st.binary(max_size=1000))
def test_random_bytes_behind_a_dicom_mark(tmp_path, content):
    check(tmp_path / "any.dcm", bytes(128) + b"DICM" + content)


@quietly
@given(
    content=st.binary(max_size=1000),
    mark=st.sampled_from([b"GIF89a", b"II*\0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]),
)
def test_random_bytes_behind_the_mark_of_an_image(tmp_path, content, mark):
    check(tmp_path / "any", mark + content)


@pytest.mark.slow
@quietly
@given(data=st.data())
def test_a_file_cut_off_anywhere(tmp_path, seed, data):
    check(tmp_path / "any", seed[: data.draw(st.integers(0, len(seed)))])


@pytest.mark.slow
@quietly
@given(data=st.data())
def test_flipped_bits(tmp_path, seed, data):
    # Half of them in the head, where a bit can change everything.
    places = st.one_of(st.integers(0, min(len(seed), 1000) - 1), st.integers(0, len(seed) - 1))
    content = bytearray(seed)
    for place, bit in data.draw(st.lists(st.tuples(places, st.integers(0, 7)), min_size=1, max_size=30)):
        content[place] ^= 1 << bit
    check(tmp_path / "any", bytes(content))


@pytest.mark.slow
@quietly
@given(data=st.data())
def test_pieces_moved_and_zeroed(tmp_path, seed, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(seed)), min_size=3, max_size=3)))
    head, one, other, tail = (seed[a:b] for a, b in zip([0, *cuts], [*cuts, len(seed)], strict=True))
    check(tmp_path / "any", head + data.draw(st.sampled_from([other + one, bytes(len(one)) + other, other])) + tail)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_access_in_any_order_gives_the_frames_of_an_iteration(tmp_path, recipe, clip, data):
    key_every, b_frames = data.draw(st.integers(1, 13)), data.draw(st.integers(0, 3))
    kind = data.draw(st.sampled_from(["mp4", "matroska", "avi", "mpegts", "h264"]))
    path = tmp_path / "video"
    options = {"preset": "ultrafast", "qp": "0", "bf": str(b_frames)}
    recipe.write_video(path, clip, "libx264rgb", kind=kind, options=options, b_frames=b_frames, key_every=key_every)
    with open_video(path) as video:
        assert [index for index, *_ in video] == list(range(24))
        for index in data.draw(st.lists(st.integers(0, 23), min_size=1, max_size=8)):
            assert (video[index] == clip[index]).all()
        start = data.draw(st.integers(0, 24))
        assert [recipe.number_of(frame) for *_, frame in video.frames(start)] == list(range(start, 24))


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["uncompressed", "JPEG", "H.264"]), count=st.integers(1, 24))
def test_a_frame_of_a_dicom_file_is_the_one_of_its_number(tmp_path, recipe, clip, data, kind, count):
    path = tmp_path / "video.dcm"
    recipe.write_dicom_video(path, kind, clip[:count])
    with open_video(path) as video:
        assert len(video) == count
        assert [(index, recipe.number_of(frame)) for index, _, frame in video] == [(n, n) for n in range(count)]
        for index in data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8)):
            assert recipe.number_of(video[index]) == index
        start = data.draw(st.integers(0, count))
        assert [recipe.number_of(frame) for *_, frame in video.frames(start)] == list(range(start, count))


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(1, 24), name=st.sampled_from(["{}", "image{:03d}", "t={:.2f}", "a_{}_b"]))
def test_a_frame_of_a_folder_is_the_one_of_its_number(tmp_path_factory, recipe, clip, data, count, name):
    folder = tmp_path_factory.mktemp("frames")
    numbers = data.draw(st.permutations(range(count)))  # in which order the files come to be
    for number in numbers:
        Image.fromarray(clip[number]).save(folder / f"{name.format(number / 4 if '.' in name else number)}.png")
    with open_video(folder) as video:
        assert [(index, recipe.number_of(frame)) for index, _, frame in video] == [(n, n) for n in range(count)]
        for index in data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8)):
            assert recipe.number_of(video[index]) == index
