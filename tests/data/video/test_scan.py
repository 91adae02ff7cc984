from __future__ import annotations

import numpy as np
import pytest

from lsinet_monai.data import open_video
from lsinet_monai.data.video.packets import Packets
from lsinet_monai.data.video.scan import scan
from lsinet_monai.errors import InputError


def scan_file(path, fps=None):
    return scan(Packets(path, lambda: f"file:{path}"), fps)


EVERY_8TH = (0, 8, 16)
# codec, container; whether the container has presentation times, the number of frames that it announces, the key frames
FILES = [
    ("H.264", "mp4", True, 24, EVERY_8TH),
    ("H.264, B-frames", "mp4", True, 24, EVERY_8TH),
    ("H.264, B-frames", "mkv", True, 24, EVERY_8TH),
    ("H.264, B-frames", "avi", False, 24, EVERY_8TH),
    ("MJPEG", "avi", False, 24, range(24)),
    ("MPEG-2, B-frames", "ts", True, None, (0, 9, 15, 21)),
    ("VP9", "webm", True, 24, EVERY_8TH),
    ("bare H.264", "h264", False, None, EVERY_8TH),
]


@pytest.mark.parametrize(("codec", "container", "in_time", "expected", "keys"), FILES, ids=str)
def test_every_frame_has_an_index_and_a_time(tmp_path, recipe, clip, codec, container, in_time, expected, keys):
    found = scan_file(recipe.write_kind(tmp_path, container, codec, clip))
    assert found.timeline.frame_count == 24 and found.timeline.in_time is in_time
    assert sorted(found.timeline.indices.tolist()) == list(range(24)) and not found.timeline.lost().size
    np.testing.assert_allclose(found.seconds, np.arange(24) / 30, atol=0.0011)
    assert found.fps == pytest.approx(30) and found.expected == expected and not found.damaged
    assert sorted(found.timeline.indices[found.timeline.is_key].tolist()) == list(keys)


def test_b_frames_in_flv_are_no_early_end(tmp_path, recipe, clip):
    path = tmp_path / "clip.flv"
    recipe.write_video(path, clip, "libx264", "yuv420p", options={"preset": "veryfast"}, b_frames=2)
    assert scan_file(path).expected == 24
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = scan_file(path)
    assert found.expected == 24 > found.timeline.frame_count


def test_b_frames_of_a_bare_stream_are_in_display_order(tmp_path, recipe, clip):
    found = scan_file(recipe.write_kind(tmp_path, "h264", "bare H.264", clip))
    numbers, indices = found.timeline.stamps, found.timeline.indices
    assert numbers.tolist() == list(range(24)) and (np.diff(indices) < 0).any()


@pytest.mark.parametrize(("fps", "expected"), [(None, 30), (10.0, 10), (60.0, 60)])
def test_a_frame_rate_counts_for_bare_streams_only(tmp_path, recipe, clip, fps, expected):
    bare = scan_file(recipe.write_kind(tmp_path, "h264", "bare H.264", clip), fps)
    assert bare.fps == pytest.approx(expected) and bare.seconds[-1] == pytest.approx(23 / expected)
    assert scan_file(recipe.write_kind(tmp_path, "mp4", "H.264", clip), fps).fps == pytest.approx(30)


def test_the_mean_rate_of_a_variable_one(tmp_path, recipe, clip):
    times = np.cumsum([0, 40, 33, 100, 20, 40, 33, 70, 100, 33, 20, 400]).tolist()
    recipe.write_video(tmp_path / "a.mkv", clip[:12], times=times)
    found = scan_file(tmp_path / "a.mkv")
    np.testing.assert_allclose(found.seconds, np.array(times) / 1000, atol=1e-3)
    assert found.fps == pytest.approx(11 / 0.889, rel=1e-3)


def test_a_pause_in_a_wmv_with_b_frames_is_kept(tmp_path, recipe, clip):
    times = [40 * n + (2000 if n >= 12 else 0) for n in range(24)]
    recipe.write_video(tmp_path / "a.wmv", clip[:24], "libx264", "yuv420p", b_frames=2, times=times)
    found = scan_file(tmp_path / "a.wmv")
    steps = np.diff(found.seconds)
    assert found.timeline.frame_count == 24 and found.seconds[0] == 0
    assert np.sort(steps)[:-1] == pytest.approx(0.04, abs=1e-3) and steps.max() == pytest.approx(2.04, abs=1e-3)
    assert 11 <= steps.argmax() <= 13  # times of decoding come up to two frames late


class _ShortPackets(Packets):
    """Packets that say they last 10 ms, as FFmpeg says of each picture of a GIF in MKV."""

    def all(self, container, *streams):
        for packet in super().all(container, *streams):
            packet.duration = round(0.01 / packet.time_base)
            yield packet


def test_packets_that_say_they_are_shorter_than_a_frame_are_no_early_end(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "mkv", "H.264, B-frames", clip)
    found = scan(_ShortPackets(path, lambda: f"file:{path}"), None)
    assert found.expected == found.timeline.frame_count == 24


def test_a_file_that_ends_early_announces_more_than_it_has(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "mkv", "MJPEG", clip)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    found = scan_file(path)
    assert found.timeline.frame_count < found.expected == 24


def test_lost_packets_leave_gaps(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "mkv", "MJPEG", clip)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(data)
    found = scan_file(path)
    assert found.timeline.frame_count == 24 and 1 <= found.timeline.lost().size < 12
    np.testing.assert_allclose(found.seconds, np.arange(24) / 30, atol=0.0011)


def test_key_frames_can_be_sought_but_not_the_start(tmp_path, recipe, clip):
    found = scan_file(recipe.write_kind(tmp_path, "mp4", "H.264", clip))
    keys = found.timeline.stamps[found.timeline.is_key].tolist()
    assert set(found.seek_to) == set(keys) - {keys[0]} and len(keys) == 3 and found.first_key == 0
    assert not scan_file(recipe.write_kind(tmp_path, "h264", "bare H.264", clip)).seek_to


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("starts", [(0, 0), (90, 0), (90, 45, 0)])
def test_recordings_whose_clock_falls_back_are_counted_on(tmp_path, recipe, clip, b_frames, starts):
    joined = tmp_path / "joined.ts"
    for number, start in enumerate(starts):
        times = [1000 * start + 40 * index for index in range(len(clip))]
        path = tmp_path / f"{number}.ts"
        recipe.write_video(path, clip, "libx264", "yuv420p", b_frames=b_frames, times=times, fps=25)
        with joined.open("ab") as file:
            file.write(path.read_bytes())
    with open_video(joined) as video:
        assert [index for index, _, _ in video] == [*range(24 * len(starts))]
        assert [recipe.number_of(frame) for _, _, frame in video] == [*range(24)] * len(starts)
        assert video.report.is_complete and "its clock falls back, as where recordings" in str(video.report)
        assert recipe.number_of(video[25]) == 1 and recipe.number_of(video[23]) == 23


def test_a_container_without_packets_is_refused(tmp_path, recipe, clip):
    path = recipe.write_kind(tmp_path, "frag.mp4", "H.264, B-frames", clip)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])  # before the first fragment
    with pytest.raises(InputError, match=r"mp4: has no frames in it; replace it"):
        scan_file(path)
