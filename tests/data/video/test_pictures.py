from __future__ import annotations

import logging
import re
import struct

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.data.video import holds_several
from lsinet_monai.errors import InputError

DURATIONS = [40, 40, 100, 40, 200, 40, 40, 1000]
# suffix, options, whether each picture has a duration
KINDS = [
    ("gif", {}, True),
    ("png", {}, True),
    ("webp", {"lossless": True}, True),
    ("tif", {"compression": "tiff_lzw"}, False),
]


def few_colours(frame):
    """As a GIF can hold it exactly."""
    return Image.fromarray(frame & 0b11000000)


def write(path, frames, **options):
    pictures = [few_colours(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)
    return [np.array(picture) for picture in pictures]


@pytest.mark.parametrize(("suffix", "options", "has_durations"), KINDS)
def test_all_pictures_with_their_times(tmp_path, clip, suffix, options, has_durations):
    frames = write(tmp_path / f"a.{suffix}", clip[:8], duration=DURATIONS, **options)
    with open_video(tmp_path / f"a.{suffix}") as video:
        times = np.cumsum([0, *DURATIONS[:-1]]) / 1000 if has_durations else np.arange(8) / 30
        assert (len(video), video.size) == (8, (64, 80)) and video.fps == pytest.approx(7 / times[-1])
        for at, (index, seconds, frame) in enumerate(video):
            assert index == at and seconds == pytest.approx(times[at]) and (frame == frames[at]).all()
            assert frame.flags.writeable
        assert video.report.is_complete and video.report.expected == 8 and not video.report.notes


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_access_in_any_order(tmp_path, clip, data):
    suffix, options, _ = data.draw(st.sampled_from(KINDS))
    frames = write(tmp_path / f"a.{suffix}", clip[: data.draw(st.integers(2, 12))], **options)
    kept = data.draw(st.integers(1, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lsinet_monai.data.video.pictures.BUFFER_BYTES", kept * frames[0].nbytes)
        video = open_video(tmp_path / f"a.{suffix}")
    with video:
        for index in data.draw(st.lists(st.integers(0, len(frames) - 1), min_size=1, max_size=12)):
            assert (video[index] == frames[index]).all()
        start = data.draw(st.integers(0, len(frames)))
        assert [index for index, *_ in video.frames(start)] == list(range(start, len(frames)))


def test_indices_and_pictures_of_a_gif_are_those_of_ffmpeg(tmp_path, clip):
    import av

    write(tmp_path / "a.gif", clip[:8], duration=DURATIONS)
    with av.open(str(tmp_path / "a.gif")) as container, open_video(tmp_path / "a.gif") as video:
        theirs = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(theirs) == len(video) and all((frame == theirs[index]).all() for index, _, frame in video)


def test_a_picture_that_shows_too_briefly_is_shown_for_100_ms(tmp_path, clip):
    write(tmp_path / "a.gif", clip[:3], duration=10)
    with open_video(tmp_path / "a.gif") as video:
        assert video.fps == pytest.approx(10)


def test_transparent_parts_are_black(tmp_path):
    pictures = [Image.new("RGBA", (8, 6), (200, 40, 10, 255)), Image.new("RGBA", (8, 6), (200, 40, 10, 0))]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    with open_video(tmp_path / "a.webp") as video:
        assert (video[0] == (200, 40, 10)).all() and not video[1].any()


def test_pages_have_the_rate_that_is_given(tmp_path, clip):
    write(tmp_path / "a.tif", clip[:3])
    with open_video(tmp_path / "a.tif", fps=10) as video:
        assert video.fps == 10 and video.seconds(2) == pytest.approx(0.2)


def test_the_picture_for_other_programs_is_left_out(tmp_path, clip):
    pictures = [few_colours(frame) for frame in clip[:4]]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], default_image=True)
    with open_video(tmp_path / "a.png") as video:
        assert [(frame == pictures[1 + index]).all() for index, _, frame in video] == [True] * 3


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_one_picture_is_a_video_of_one_frame(tmp_path, clip, suffix):
    few_colours(clip[0]).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    with open_video(tmp_path / f"a.{suffix}") as video:
        assert [index for index, _, _ in video] == [0] and (video[0] == few_colours(clip[0])).all()
    assert not holds_several(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "ppm"])
def test_any_picture_alone_is_a_video_of_one_frame(tmp_path, clip, suffix):
    Image.fromarray(clip[0]).save(tmp_path / f"a.{suffix}")
    with open_video(tmp_path / f"a.{suffix}") as video:
        assert len(video) == 1 and (video[0] == np.array(Image.open(tmp_path / f"a.{suffix}"))).all()


def test_a_file_alone_in_a_folder_of_frames_is_the_video(tmp_path, clip):
    frames = write(tmp_path / "stack.tif", clip[:3])
    with open_video(tmp_path) as video:
        assert [(frame == frames[index]).all() for index, _, frame in video] == [True] * 3
    Image.fromarray(clip[0]).save(tmp_path / "0.png")
    with pytest.raises(InputError, match=r"stack\.tif: holds several pictures, but is one of 2 frames"):
        open_video(tmp_path)


@pytest.mark.parametrize(("suffix", "kept"), [("gif", 0.6), ("png", 0.6), ("gif", -1), ("gif", -3)])
def test_a_file_that_is_cut_off_is_reported(tmp_path, clip, suffix, kept, caplog):
    path = tmp_path / f"a.{suffix}"
    frames = write(path, clip[:8])
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept > 0 else kept])
    with caplog.at_level(logging.WARNING), open_video(path) as video:
        found = {index: frame for index, _, frame in video}
    assert all((frame == frames[index]).all() for index, frame in found.items())
    assert len(caplog.records) == 1 and (not video.report.is_complete or "is cut off or damaged" in caplog.text)


def test_a_stack_of_deep_pages_is_refused(tmp_path):
    pages = [Image.new("I;16", (8, 6)) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="convert it to 8 bits"):
        open_video(tmp_path / "a.tif")


def read_through(path):
    with open_video(path) as video:
        return {index: frame for index, _, frame in video}, video.size, video.report


@pytest.mark.parametrize("length", [0, 1, 32, 254])
def test_pictures_that_a_damaged_gif_loses_are_said(tmp_path, clip, length):
    """The length of a piece is damaged, so that readers look for the next one at a wrong place."""
    write(tmp_path / "a.gif", clip[:6])
    content = (tmp_path / "a.gif").read_bytes()
    at = next(at for at in range(len(content) // 2, len(content)) if {*content[at : at + 1024 : 256]} == {255})
    (tmp_path / "b.gif").write_bytes(content[:at] + bytes([length]) + content[at + 1 :])
    with open_video(tmp_path / "b.gif") as video:
        assert len(video) < 6 or length in (0, 254)
        assert "damaged between its pictures" in str(video.report)


def test_what_follows_the_end_mark_of_a_gif(tmp_path, clip):
    write(tmp_path / "a.gif", clip[:3])
    content = (tmp_path / "a.gif").read_bytes()
    for more, is_said in ((b"", False), (b"\0\0\0", False), (content[13:], True)):
        (tmp_path / "b.gif").write_bytes(content + more)
        with open_video(tmp_path / "b.gif") as video:
            assert len(video) == 3 and ("damaged between its pictures" in str(video.report)) == is_said


def test_a_picture_beyond_a_gif_is_cut_off_as_in_ffmpeg(tmp_path, clip):
    path = tmp_path / "a.gif"
    write(path, clip[:6], duration=40)
    content = bytearray(path.read_bytes())
    places = [found.end() for found in re.finditer(rb"\x21\xf9\x04....\0\x2c", content, re.DOTALL)]
    width, height = struct.unpack("<HH", content[places[2] + 4 : places[2] + 8])
    content[places[2] : places[2] + 4] = struct.pack("<HH", 90 - width, 70 - height)  # its left and its top
    path.write_bytes(content)
    frames, size, report = read_through(path)
    assert {frame.shape for frame in frames.values()} == {(64, 80, 3)} and size == (64, 80)
    assert "differ from the first one's size of 64x80; they are cut off at it" in str(report)
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert all((frames[index] == frame).all() for index, frame in enumerate(expected))


def test_pages_of_other_sizes_are_scaled_to_the_first(tmp_path, clip):
    pictures = [Image.fromarray(frame) for frame in clip[:4]]
    pictures[2] = pictures[2].resize((160, 128))
    pictures[0].save(tmp_path / "a.tif", save_all=True, append_images=pictures[1:])
    frames, size, report = read_through(tmp_path / "a.tif")
    assert {frame.shape for frame in frames.values()} == {(*size, 3)} == {(64, 80, 3)} and len(frames) == 4
    assert "differ from the first one's size of 64x80; they are scaled to it" in str(report)
    assert np.abs(frames[2].astype(int) - clip[2]).mean() < 8 and (frames[3] == clip[3]).all()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_the_same_for_access_and_iteration(tmp_path, clip, suffix, data):
    path = tmp_path / f"a.{suffix}"
    write(path, clip[:8])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    logging.disable()
    try:
        frames, size, report = read_through(path)
        with open_video(path) as video:
            for index in data.draw(st.lists(st.integers(0, len(video) - 1), min_size=1, max_size=8)):
                if index in frames:
                    assert (video[index] == frames[index]).all() and frames[index].shape == (*size, 3)
                else:
                    with pytest.raises(InputError, match="damaged or lost"):
                        video.frame(index)
            start = data.draw(st.integers(0, len(video)))
            rest = {index: frame for index, _, frame in video.frames(start)}
        assert list(rest) == [index for index in frames if index >= start] and report.found == len(frames)
        assert all((frame == frames[index]).all() for index, frame in rest.items())
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
    finally:
        logging.disable(logging.NOTSET)
