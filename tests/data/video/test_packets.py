from __future__ import annotations

import io
from contextlib import closing
from fractions import Fraction

import pytest

from lsinet_monai.data.video.packets import Packets, decode, number_of, numbers_by_place
from lsinet_monai.errors import InputError


def packets_of(path):
    return Packets(path, lambda: f"file:{path}")


def stamps(packets, **options):
    """The presentation times of the packets as ``video`` reads them."""
    with packets.open() as (container, stream), closing(packets.video(container, stream, **options)) as found:
        return [packet.pts for packet in found]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_every_frame_has_a_packet(tmp_path, recipe, clip, suffix):
    packets = packets_of(recipe.write_kind(tmp_path, suffix, "H.264", clip))
    assert len(stamps(packets)) == 24
    assert stamps(packets, numbered=True) == list(range(24))


def test_reading_from_a_time_starts_at_a_key_frame_before_it(tmp_path, recipe, clip):
    packets = packets_of(recipe.write_kind(tmp_path, "mp4", "H.264", clip))
    whole = stamps(packets)
    assert stamps(packets, seek_to=whole[13]) == whole[8:]


@pytest.mark.parametrize("seek_to", [None, 17])
def test_numbers_of_an_avi_hold_after_a_seek(tmp_path, recipe, clip, seek_to):
    packets = packets_of(recipe.write_kind(tmp_path, "avi", "MPEG-4", clip))
    assert stamps(packets, numbered=True, seek_to=seek_to) == list(range(16 if seek_to else 0, 24))


def test_other_streams_are_read_only_if_asked_for(tmp_path, recipe, clip):
    path = tmp_path / "a.mp4"
    recipe.write_video(path, clip, prepare=lambda container, _: recipe.write_silence(container, 1))
    packets = packets_of(path)
    with packets.open() as (container, stream):
        assert len({packet.stream_index for packet in packets.all(container)}) == 2
    with packets.open() as (container, stream):
        assert {packet.stream_index for packet in packets.all(container, stream)} == {stream.index}


def test_the_decoder_gives_a_frame_for_each_packet_and_the_rest_at_the_end(tmp_path, recipe, clip):
    packets = packets_of(recipe.write_kind(tmp_path, "mp4", "H.264, B-frames", clip))
    with packets.open() as (container, stream):
        frames = [frame for packet in packets.video(container, stream) for frame in decode(stream, packet)]
        assert len(frames) < 24
        frames += decode(stream, None)
    assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames) and len(frames) == 24


def test_a_binary_file_is_closed_after_reading(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "mp4", "H.264", clip)
    opened = []

    def source():
        opened.append(io.FileIO(path))
        return opened[-1]

    packets = Packets(path, source)
    assert len(stamps(packets)) == 24
    path.write_bytes(b"text")
    with pytest.raises(InputError, match=r"mp4: cannot be read as a video"):
        stamps(packets)
    assert len(opened) == 2 and all(file.closed for file in opened)


# position, the index of the file, the number expected next; the packet's number
NUMBERS = [
    (100, {100: 0, 200: 1}, 0, 0),
    (200, {100: 0, 200: 3}, 1, 3),  # two packets are lost
    (150, {100: 0, 200: 3}, 1, 1),  # not in the index
    (None, {100: 0}, 7, 7),
    (100, {100: 0}, 5, 5),  # an index that goes back is wrong
    (100, {}, 2, 2),
]


@pytest.mark.parametrize(("place", "number_at", "following", "expected"), NUMBERS)
def test_number_of(place, number_at, following, expected):
    assert number_of(place, number_at, following) == expected


def test_an_avi_counts_the_frames_that_its_index_leaves_out(tmp_path, recipe, clip):
    kept = [index for index in range(24) if index not in (3, 4, 17)]

    def count_in_frames(container, stream):
        stream.codec_context.time_base = Fraction(1, 25)

    path = tmp_path / "a.avi"
    recipe.write_video(
        path, clip[:21], "mpeg4", "yuv420p", fps=25, times=[40 * index for index in kept], prepare=count_in_frames
    )
    with packets_of(path).open() as (container, stream):
        numbers = numbers_by_place(container, stream)
    assert list(numbers.values()) == kept and list(numbers) == sorted(numbers)


def test_other_files_have_no_numbers_by_place(tmp_path, recipe, clip):
    with packets_of(recipe.write_kind(tmp_path, "mp4", "H.264", clip)).open() as (container, stream):
        assert numbers_by_place(container, stream) == {}


def test_a_stream_without_a_decoder_does_not_hide_the_others(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "flv", "FLV", clip[:12])
    content = bytearray(path.read_bytes())
    content[223] ^= 8  # the kind and codec of one frame: a codec that FFmpeg does not know, in a stream of its own
    path.write_bytes(content)
    with packets_of(path).open() as (container, stream):
        assert len(container.streams.video) == 2
        assert stream.codec_context is not None
