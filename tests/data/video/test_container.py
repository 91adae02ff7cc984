from __future__ import annotations

import logging
import re
import threading
import types
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from lsinet_monai.data import open_video
from lsinet_monai.data.video import container
from lsinet_monai.data.video.packets import Packets, decode
from lsinet_monai.errors import InputError


def read(path, **options):
    """All frames by index, and the report."""
    with open_video(path, **options) as video:
        return {index: frame for index, _, frame in video}, video.report


@pytest.fixture(scope="module")
def lossless(tmp_path_factory, recipe, clip):
    """An MP4 whose frames are exactly the clip's."""
    path = tmp_path_factory.mktemp("lossless") / "clip.mp4"
    recipe.write_video(path, clip)
    return path


# What is in a file ------------------------------------------------------------------------------------------------


def test_every_kind_has_all_frames_in_time_and_exact_access(tmp_path, recipe, clip, kind, suffix):
    path = recipe.write_kind(tmp_path, suffix, kind, clip)
    with open_video(path) as video:
        frames = {}
        for index, seconds, frame in video:
            assert seconds == pytest.approx(index / 30, abs=0.0011) and frame.shape == (64, 80, 3)
            assert recipe.number_of(frame) == index
            frames[index] = frame
        # A WMV with B-frames has times of decoding alone, in milliseconds.
        assert list(frames) == list(range(24)) and video.fps == pytest.approx(30, rel=1e-3 if suffix == "wmv" else 1e-6)
        assert video.report.is_complete and video.report.expected in (None, 24)
        for index in (17, 3, 4, 5, 23, 22, 21, 8, 0):
            assert (video[index] == frames[index]).all()
        for start in (7, 8, 20):  # just before, at, and behind a key frame
            assert all((frame == frames[index]).all() for index, _, frame in video.frames(start))


def test_lossless_frames_are_exact(lossless, clip):
    frames, report = read(lossless)
    assert all((frames[index] == frame).all() for index, frame in enumerate(clip))
    assert (report.expected, report.found, report.skipped, report.ends_early) == (24, 24, (), False)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate(tmp_path, recipe, clip, suffix):
    times = np.cumsum([0, 40, 33, 100, 20, 40, 33, 70, 100, 33, 20, 400]).tolist()
    recipe.write_video(tmp_path / f"a.{suffix}", clip[:12], times=times, b_frames=2)
    with open_video(tmp_path / f"a.{suffix}") as video:
        assert [index for index, _, _ in video] == list(range(12))
        assert [seconds for _, seconds, _ in video] == pytest.approx([time / 1000 for time in times], abs=1e-3)
        assert (video[7] == clip[7]).all() and video.report.is_complete
        assert video.fps == pytest.approx(11 / 0.889, rel=1e-3)


ROTATIONS = [
    ((90, False, False), lambda frame: np.rot90(frame)),
    ((-90, False, False), lambda frame: np.rot90(frame, -1)),
    ((180, False, False), lambda frame: frame[::-1, ::-1]),
    ((0, True, False), lambda frame: frame[:, ::-1]),
    ((0, False, True), lambda frame: frame[::-1]),
]


@pytest.mark.parametrize(("flag", "expected"), ROTATIONS)
def test_rotation_flags_are_applied(tmp_path, recipe, clip, flag, expected):
    path = tmp_path / "phone.mp4"
    recipe.write_video(path, clip[:2], prepare=lambda _, stream: stream.set_display_rotation(*flag))
    with open_video(path) as video:
        assert all((frame == expected(clip[index])).all() for index, _, frame in video)
        assert video.size == expected(clip[0]).shape[:2] and video[1].flags.c_contiguous


def test_a_rotation_by_another_angle_than_right_ones_is_said(tmp_path, recipe, clip):
    for angle, is_said in ((45, True), (90, False)):
        path = tmp_path / f"{angle}.mp4"
        recipe.write_video(path, clip[:2], prepare=lambda _, stream, angle=angle: stream.set_display_rotation(angle))
        with open_video(path) as video:
            assert bool(video.report.notes) is is_said
            assert is_said is ("marked to be turned by another angle than right ones" in str(video.report))


def test_what_is_to_be_cut_off_at_the_left_is_cut_off_exactly(tmp_path, recipe, clip):
    recipe.write_video(tmp_path / "whole.h264", clip, "libx264", "yuv420p", kind="h264")
    with open_video(tmp_path / "whole.h264") as video:
        whole = [frame for _, _, frame in video]
    with av.open(tmp_path / "whole.h264") as source:
        stream = source.streams.video[0]
        bitstream = BitStreamFilterContext("h264_metadata=crop_left=6:crop_right=10", stream)
        cut = [bytes(piece) for packet in [*source.demux(stream), None] for piece in bitstream.filter(packet)]
        (tmp_path / "cut.h264").write_bytes(b"".join(cut))
    with open_video(tmp_path / "cut.h264") as video:
        assert video.size == (64, 64) and len(video) == 24
        assert all(np.abs(frame.astype(int) - whole[index][:, 6:70]).max() <= 4 for index, _, frame in video)


@pytest.mark.parametrize(("name", "muxer"), [("a.mp4", "mp4"), ("a.mkv", "matroska"), ("a.ts", "mpegts")])
def test_sound_may_be_longer_than_the_video(tmp_path, recipe, clip, name, muxer):
    path = tmp_path / name

    def add_sound(container, _):
        recipe.write_silence(container, 2)

    recipe.write_video(path, clip, "libx264", "yuv420p", kind=muxer, prepare=add_sound)
    frames, report = read(path)
    assert len(frames) == 24 and report.is_complete


def test_one_frame(tmp_path, recipe, clip):
    recipe.write_video(tmp_path / "one.mp4", clip[:1])
    with open_video(tmp_path / "one.mp4") as video:
        assert [(index, seconds) for index, seconds, _ in video] == [(0, 0)] and video.fps == 30


def test_the_frame_rate_of_a_bare_stream_can_be_given(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "h264", "bare H.264", clip)
    with open_video(path, fps=10) as video:
        assert video.seconds(23) == pytest.approx(2.3)


def write_palettised(path, frames):
    """Write frames of grey in colours of a palette; returns them in RGB."""
    colours = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], axis=1).astype(np.uint8)
    palette = np.concatenate([np.full((256, 1), 255, np.uint8), colours], axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "pal8"
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray((np.ascontiguousarray(frame[..., 0]), palette), "pal8")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return [colours[frame[..., 0]] for frame in frames]


@pytest.mark.parametrize("suffix", ["avi", "mov"])
def test_a_palette_outlives_every_seek(tmp_path, clip, suffix):
    expected = write_palettised(tmp_path / f"a.{suffix}", clip)
    with open_video(tmp_path / f"a.{suffix}") as video:
        assert all((frame == expected[index]).all() for index, _, frame in video)
        for index in (13, 2, 23, 0):
            assert (video[index] == expected[index]).all()
        assert [(frame == expected[index]).all() for index, _, frame in video.frames(20)] == [True] * 4


def test_the_start_of_a_file_is_not_sought(lossless, clip, monkeypatch):
    sought = []
    monkeypatch.setattr("av.container.InputContainer.seek", lambda *_, **__: sought.append(True))
    with open_video(lossless) as video:
        assert (video[0] == clip[0]).all() and len(list(video)) == 24 and not sought
        next(video.frames(20))
        assert sought


# frames per second, the ticks per second of the file, B-frames
RATES = [(25, 50, 3), (30, 600, 0), (24, 60, 3), (24, 30, 0)]


@pytest.mark.parametrize(("fps", "ticks", "b_frames"), RATES)
def test_an_avi_of_a_higher_rate_has_the_frames_and_the_rate_of_the_video(tmp_path, recipe, fps, ticks, b_frames):
    def count_in_ticks(_, stream):
        stream.codec_context.time_base = Fraction(1, ticks)

    frames, path = recipe.clip(48), tmp_path / "a.avi"
    times = [index * ticks // fps * 1000 / ticks for index in range(48)]
    recipe.write_video(path, frames, b_frames=b_frames, times=times, fps=fps, prepare=count_in_ticks)
    with open_video(path) as video:
        found = list(video)
        assert [index for index, _, _ in found] == [recipe.number_of(frame) for *_, frame in found] == list(range(48))
        assert video.fps == pytest.approx(fps, rel=0.03) and video.report.is_complete and video.report.expected == 48
        assert [seconds for _, seconds, _ in found] == pytest.approx([t / 1000 for t in times], abs=1 / fps + 1e-6)
        for index in (30, 7, 47):
            assert (video[index] == frames[index]).all()


def test_an_avi_of_a_higher_rate_that_is_cut_off(tmp_path, recipe, clip):
    def count_in_ticks(_, stream):
        stream.codec_context.time_base = Fraction(1, 600)

    path = tmp_path / "a.avi"
    recipe.write_video(path, clip, times=[40 * index for index in range(24)], fps=25, prepare=count_in_ticks)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with open_video(path) as video:
        found = [recipe.number_of(frame) for *_, frame in video]
        assert found == list(range(len(found))) and len(found) > 8 and video.fps == pytest.approx(25)
        assert video.report.ends_early and video.report.expected == 24


# codec, container, the part that is cut off
CUT_AT_THE_START = [
    ("H.264, B-frames", "ts", 0.15),
    ("H.264, B-frames", "ts", 0.45),
    ("H.265", "ts", 0.45),
    ("MPEG-2, B-frames", "ts", 0.45),
    ("MPEG-2, B-frames", "mpg", 0.15),
]


@pytest.mark.parametrize(("codec", "suffix", "part"), CUT_AT_THE_START)
def test_frame_0_is_the_first_that_any_decoder_shows(tmp_path, recipe, codec, suffix, part):
    path = recipe.write_kind(tmp_path, suffix, codec, recipe.clip(40))
    data = path.read_bytes()
    unit = 188 if suffix == "ts" else 2048
    path.write_bytes(data[int(len(data) * part) // unit * unit :])
    with av.open(str(path)) as container:
        theirs = [recipe.number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with open_video(path) as video:
        found = {index: recipe.number_of(frame) for index, _, frame in video}
        assert list(found.values()) == theirs and list(found) == list(range(len(theirs)))
        assert video.seconds(0) == 0 and video.report.is_complete
        assert "precede the first key frame and cannot be decoded; frame 0 is the one after" in str(video.report)
        assert recipe.number_of(video[5]) == theirs[5]


def test_a_damaged_first_key_frame_keeps_its_index(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "mp4", "H.264", clip)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 8 : start + 1200] = bytes(1192)
    path.write_bytes(data)
    _, report = read(path)
    assert len(open_video(path)) == 24 and not report.notes


# sizes of the streams, which is the default one; the one that ffmpeg takes
STREAMS = [
    ([(48, 64), (64, 96)], None, 1),
    ([(64, 96), (48, 64)], None, 0),
    ([(64, 96), (64, 96)], None, 0),
    ([(64, 96), (48, 64)], 1, 1),
]


@pytest.mark.parametrize(("sizes", "default", "chosen"), STREAMS)
def test_of_two_streams_the_one_that_ffmpeg_takes(tmp_path, sizes, default, chosen, caplog):
    path = tmp_path / ("a.ts" if default is None else "a.mkv")
    with av.open(str(path), "w") as container:
        streams = []
        for at, (height, width) in enumerate(sizes):
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.disposition = av.stream.Disposition.default if at == default else av.stream.Disposition(0)
            streams.append(stream)
        for index in range(5):
            for at, (stream, size) in enumerate(zip(streams, sizes, strict=True)):
                picture = av.VideoFrame.from_ndarray(np.full((*size, 3), 60 + 120 * at, np.uint8), "rgb24")
                picture.pts, picture.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode(None))
    with open_video(path) as video:
        assert video.size == sizes[chosen] and abs(int(video[2].mean()) - 60 - 120 * chosen) < 5
        names = ", ".join(f"{height}x{width}" for height, width in sizes)
        assert f"has 2 video streams ({names}); the one of {sizes[chosen][0]}x" in str(video.report)
        assert f"number {chosen} from 0, is read" in str(video.report)


# Access -----------------------------------------------------------------------------------------------------------


def test_access_follows_the_rules_of_sequences(lossless, clip):
    with open_video(lossless) as video:
        assert len(video) == video.frame_count == 24
        assert (video[-1] == clip[23]).all() and (video.frame(np.int64(5)) == clip[5]).all()
        assert [index for index, *_ in video.frames(20)] == [20, 21, 22, 23]
        assert [index for index, *_ in video.frames(5, 8)] == [5, 6, 7]
        assert [index for index, *_ in video.frames(-2, 100)] == [22, 23]
        assert list(video.frames(24)) == list(video.frames(8, 8)) == []
        for index in (24, -25):
            with pytest.raises(IndexError, match=f"frame {index} of 24"):
                video[index]


def test_iterations_and_access_at_the_same_time(lossless, clip):
    with open_video(lossless) as video:
        for (index, _, one), (_, _, other) in zip(video, video.frames(0, 24), strict=True):
            assert (one == other).all() and (video[23 - index] == clip[23 - index]).all()


def test_access_from_many_threads(lossless, clip):
    with open_video(lossless) as video:
        wrong = []

        def check(offset):
            wrong.extend(
                i for i in range(24) if not (video[(5 * i + offset) % 24] == clip[(5 * i + offset) % 24]).all()
            )

        workers = [threading.Thread(target=check, args=(offset,)) for offset in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not wrong


def decoding_threads():
    return [thread for thread in threading.enumerate() if thread.name == "lsinet-prefetch"]


def test_a_dropped_iteration_and_a_closed_video_leave_no_thread(lossless):
    with open_video(lossless) as video:
        for index, _, _ in video:
            if index == 3:
                break
        assert not decoding_threads()
        running = iter(video)
        next(running)
        assert decoding_threads()
    assert not decoding_threads()
    assert list(running) == []
    video.close()
    for use in (lambda: video[0], lambda: next(iter(video))):
        with pytest.raises(ValueError, match="is closed"):
            use()


# Damage -----------------------------------------------------------------------------------------------------------

CUT = ["avi", "mkv", "fast.mp4", "frag.mp4"]


@pytest.mark.parametrize("suffix", CUT)
def test_a_file_that_ends_early_is_reported(tmp_path, recipe, clip, suffix, caplog):
    path = recipe.write_kind(tmp_path, suffix, "H.264, B-frames" if "mp4" in suffix else "MJPEG", clip)
    whole, _ = read(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    with caplog.at_level(logging.WARNING):
        frames, report = read(path)
    assert report.ends_early and report.found == len(frames) < report.expected <= 24
    assert report.expected == 24 or suffix == "frag.mp4"  # which announces each fragment separately
    assert all((frame == whole[index]).all() for index, frame in frames.items())
    assert [record.getMessage() for record in caplog.records] == [str(report)]
    assert f"ends early, after {len(frames) + len(report.skipped)} of" in str(report)


@pytest.mark.parametrize("suffix", ["mkv", "webm"])
def test_the_last_frame_alone_is_missed(tmp_path, recipe, clip, suffix):
    path = recipe.write_kind(tmp_path, suffix, "VP9", clip)
    data = path.read_bytes()
    end = data.rindex(b"\x1c\x53\xbb\x6b")  # the Cues, which follow the last frame
    path.write_bytes(data[: end - 1])
    _, report = read(path)
    assert report.ends_early and (report.found, report.expected) == (23, 24)


# kind, container; without prediction from frame to frame, so that each loss concerns itself alone
ALONE = [("MJPEG", "avi"), ("MJPEG", "mkv"), ("MJPEG", "mp4")]


@pytest.mark.parametrize(("codec", "container"), ALONE)
def test_damage_in_the_middle_shifts_no_later_frame(tmp_path, recipe, clip, codec, container):
    path = recipe.write_kind(tmp_path, container, codec, clip)
    whole, _ = read(path)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + 4000] = bytes(4000)  # two frames or more, with the container's data about them
    path.write_bytes(data)
    frames, report = read(path)
    damaged = [index for index in range(24) if index not in frames or not (frames[index] == whole[index]).all()]
    assert damaged and damaged == list(range(damaged[0], damaged[-1] + 1)) and len(damaged) <= 12
    assert report.found == len(frames) and report.found + len(report.skipped) == 24
    assert set(report.skipped) <= set(damaged) and report.skipped
    with open_video(path) as video:
        assert (video[23] == whole[23]).all()
        with pytest.raises(InputError, match=f"frame {report.skipped[0]} is damaged or lost"):
            video[report.skipped[0]]


DROPPED = [("MJPEG", 1), ("MPEG-4", 8), ("H.264, B-frames", 8)]


@pytest.mark.parametrize(("codec", "key_every"), DROPPED)
def test_frames_that_an_avi_leaves_out_shift_no_later_frame(tmp_path, recipe, codec, key_every):
    _, encoder, pixels, options, _, _ = next(kind for kind in recipe.KINDS if kind[0] == codec)
    path = tmp_path / "dropped.avi"
    there = [index for index in range(40) if index not in (3, 4, 17, 30)]

    def count_in_frames(container, stream):
        stream.codec_context.time_base = Fraction(1, 25)

    recipe.write_video(
        path, recipe.clip(36), encoder, pixels, options=options, key_every=key_every, fps=25,
        times=[40 * index for index in there], prepare=count_in_frames,
    )  # fmt: skip
    frames, report = read(path)
    assert (len(frames), report.found) == (36, 36) and report.skipped == (3, 4, 17, 30)
    assert not report.ends_early
    assert [recipe.number_of(frames[index]) for index in there] == list(range(36))
    with open_video(path) as video:
        for index in (39, 18, 2, 5, 31):
            assert recipe.number_of(video[index]) == there.index(index)


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "ts"])
def test_damage_goes_no_farther_than_to_the_next_key_frame(tmp_path, recipe, clip, suffix):
    path = recipe.write_kind(tmp_path, suffix, "H.264", clip)
    whole, _ = read(path)
    path.write_bytes(recipe.DAMAGES[0][1](path.read_bytes()))
    frames, report = read(path)
    assert report.skipped and not report.ends_early
    hit = {index // 8 for index in report.skipped}  # every eighth is a key frame
    assert len(hit) < 3 and all((frames[i] == whole[i]).all() for i in range(24) if i // 8 not in hit)


def test_frames_that_a_decoder_cannot_make_are_counted(lossless, monkeypatch):
    def refuse(stream, packet):
        frames = decode(stream, packet)
        return [frame for frame in frames if frame.pts // 512 not in (5, 6, 23)]

    from lsinet_monai.data.video import container

    decode = container.decode
    monkeypatch.setattr(container, "decode", refuse)
    frames, report = read(lossless)
    assert sorted(set(range(24)) - set(frames)) == [5, 6, 23] == list(report.skipped)
    assert "3 damaged or lost frames skipped (5-6, 23)" in str(report)


# Other files -------------------------------------------------------------------------------------------------------

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nclip.mp4\n#EXT-X-ENDLIST\n"
BAD_FILES = [
    (b"", "is empty"),
    (b"not a video at all\n" * 50, "cannot be read as a video"),
    (np.random.default_rng(0).bytes(20_000), "replace it"),
    (PLAYLIST, "cannot be read as a video"),  # these two refer to another file
    (b"ffconcat version 1.0\nfile clip.mp4\n", "cannot be read as a video"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8"])
def test_other_files_are_refused_in_one_line(tmp_path, lossless, content, message, suffix):
    (tmp_path / "clip.mp4").write_bytes(lossless.read_bytes())
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        open_video(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_a_file_without_picture_is_refused(tmp_path, recipe):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        recipe.write_silence(container, 1)
    with pytest.raises(InputError, match="has no video in it"):
        open_video(tmp_path / "sound.mp4")


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "gone.mp4", tmp_path / ("x" * 300), "a\0b.mp4"):
        with pytest.raises(InputError, match=r"no such file|cannot be read"):
            open_video(path)


def test_frames_without_a_bound_are_refused(lossless, monkeypatch):
    monkeypatch.setattr("lsinet_monai.data.video.packets._MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="frames of 64x80 are too large"):
        open_video(lossless)
    monkeypatch.undo()
    monkeypatch.setattr("lsinet_monai.data.video.scan._MOST_PACKETS", 10)
    with pytest.raises(InputError, match="more than 10 frames"):
        open_video(lossless)


@pytest.mark.slow
def test_dv_and_mxf_are_read_whole(tmp_path, recipe):
    # DV has sizes of its own.
    for name, codec, size in (("a.dv", "dvvideo", (576, 720)), ("a.mxf", "mpeg2video", (288, 352))):
        recipe.write_video(tmp_path / name, recipe.clip(12, size), codec, "yuv420p", fps=25)
        frames, report = read(tmp_path / name)
        assert [recipe.number_of(frame) for frame in frames.values()] == list(range(12)) and report.is_complete


# On a GPU ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu_decoder(monkeypatch):
    """Let the CPU play a GPU's decoder, which gives frames with interleaved colours."""
    state = types.SimpleNamespace(
        open=lambda: None, gives=lambda frame: frame.reformat(format=state.interleaved), interleaved="nv12"
    )
    in_use = []
    opened = Packets.open

    @contextmanager
    def open_on_gpu(packets, decoder=None):
        if decoder is not None:
            state.open()
        with opened(packets) as found:
            in_use.append(decoder)
            yield found

    def decode_on_gpu(stream, packet):
        frames = decode(stream, packet)
        if in_use[-1] is None:
            return frames
        given = [(frame.pts, state.gives(frame)) for frame in frames]
        for pts, frame in given:
            if frame is not None:
                frame.pts = pts
        return [frame for _, frame in given if frame is not None]

    monkeypatch.setattr(container, "find_gpu_decoder", lambda device: None if device == "cpu" else device)
    monkeypatch.setattr(Packets, "open", open_on_gpu)
    monkeypatch.setattr(container, "decode", decode_on_gpu)
    return state


@pytest.mark.parametrize(
    ("pixels", "interleaved"), [("yuv420p", "nv12"), ("yuvj420p", "nv12"), ("yuv420p10le", "p010le")]
)
def test_frames_of_a_gpus_decoder_equal_the_cpus(tmp_path, recipe, clip, gpu_decoder, pixels, interleaved, caplog):
    gpu_decoder.interleaved = interleaved
    path = tmp_path / "clip.mp4"
    recipe.write_video(
        path, clip, "libx264", pixels, b_frames=2,
        prepare=lambda _, stream: stream.set_display_rotation(90, False, False),
    )  # fmt: skip
    on_cpu, _ = read(path)
    with open_video(path, decode_device="cuda") as video:
        frames = {index: frame for index, _, frame in video.frames(5)}
        assert list(frames) == list(range(5, 24)) and video.report.is_complete
        assert all((frame == on_cpu[index]).all() for index, frame in frames.items())
        assert (video[3] == on_cpu[3]).all()
    assert not caplog.messages


def _nothing_after(last):
    return lambda state: setattr(state, "gives", lambda f: f.reformat(format="nv12") if f.pts <= last else None)


def _another_size(state):
    state.gives = lambda frame: frame.reformat(frame.width + 8, frame.height, "nv12")


def _no_driver(state):
    def fail():
        try:
            raise OSError("Cannot allocate memory")
        except OSError as error:
            raise InputError("cannot be read as a video") from error

    state.open = fail


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        pytest.param(_nothing_after(-1), "frame 0 on, because the GPU's decoder cannot", id="gives nothing"),
        pytest.param(_nothing_after(9 * 512), "frame 10 on, because the GPU's decoder cannot", id="ends early"),
        pytest.param(_another_size, "frame 0 on, because the GPU's decoder cannot", id="cut off at the left"),
        pytest.param(
            lambda state: setattr(state, "gives", lambda frame: frame),
            "frame 0 on, because the GPU's decoder cannot",
            id="FFmpeg takes the CPU",
        ),
        pytest.param(_no_driver, r"frame 0 on, .* cannot \(Cannot allocate memory\)", id="cannot be opened"),
    ],
)
def test_the_cpu_decodes_what_a_gpu_cannot(tmp_path, recipe, clip, gpu_decoder, caplog, breaks, says):
    path = tmp_path / "clip.mp4"
    recipe.write_video(path, clip, "libx264", "yuv420p", b_frames=2)
    on_cpu, _ = read(path)
    breaks(gpu_decoder)
    frames, report = read(path, decode_device="cuda")
    assert report.is_complete and list(frames) == list(on_cpu)
    assert all((frames[index] == frame).all() for index, frame in on_cpu.items())
    (message,) = caplog.messages
    assert re.fullmatch(f"{re.escape(str(path))}: decoded on the CPU from {says}", message)
