from __future__ import annotations

import pytest

from lsinet_monai.data import open_video
from lsinet_monai.data.video.transport_stream import breaks_between_frames

VIDEO, SOUND = 256, 257


def packet(counter, *, begins=False, fill=0, pid=VIDEO, broken=False, clock=False):
    """A packet of a transport stream; ``fill`` is the number of bytes that fill it up."""
    field = b""
    if clock:
        field = bytes([7 + fill, 0x10]) + bytes(6) + b"\xff" * fill
    elif fill:
        field = b"\0" if fill == 1 else bytes([fill - 1, 0]) + b"\xff" * (fill - 2)
    head = bytes([0x47, broken << 7 | begins << 6 | pid >> 8, pid & 255, 0x10 | bool(field) << 5 | counter])
    return head + field + b"\x11" * (188 - len(head) - len(field))


FRAME = [packet(14, begins=True), packet(15), packet(0, fill=40)]
# packets, and whether all breaks lie between complete frames
STREAMS = [
    ([*FRAME, packet(9, begins=True)], True),
    ([*FRAME[:2], packet(0, fill=1), packet(9, begins=True)], True),
    ([*FRAME[:2], packet(0, fill=3, clock=True), packet(9, begins=True)], True),
    ([*FRAME, packet(7, pid=SOUND), packet(9, begins=True)], True),
    ([*FRAME, packet(1, begins=True), packet(2)], False),  # no break
    ([*FRAME[:2], FRAME[1], packet(0)], False),  # a repeated packet is allowed
    ([*FRAME, packet(9)], False),  # the beginning of the next frame is lost
    ([*FRAME[:2], packet(9, begins=True)], False),  # the end of the frame may be lost
    ([*FRAME[:2], packet(0, clock=True), packet(9, begins=True)], False),
    ([FRAME[0], packet(3, fill=40), packet(9, begins=True)], False),  # a second break, in a frame
    ([*FRAME, packet(9, begins=True, broken=True)], False),
    ([*FRAME, packet(9, begins=True)[:40]], False),
    ([packet(9, pid=SOUND)], False),
    ([b"\0" * 188, *FRAME, packet(9, begins=True)], False),
    ([], False),
]


@pytest.mark.parametrize(("packets", "expected"), STREAMS)
def test_breaks_between_frames(packets, expected):
    assert breaks_between_frames(b"".join(packets), VIDEO) == expected


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("pause", [0, 400, 100_000])
def test_recordings_joined_in_the_order_of_their_clocks_lose_no_frame(tmp_path, recipe, clip, b_frames, pause):
    joined = tmp_path / "joined.ts"
    for start in (0, 40 * len(clip) + pause):
        times = [start + 40 * index for index in range(len(clip))]
        recipe.write_video(tmp_path / "a.ts", clip, "libx264", "yuv420p", b_frames=b_frames, times=times, fps=25)
        with joined.open("ab") as file:
            file.write((tmp_path / "a.ts").read_bytes())
    with open_video(joined) as video:
        assert [recipe.number_of(frame) for _, _, frame in video] == [*range(24)] * 2
        assert video.report.found == 48
        assert "its packet counters break between complete frames, as where recordings" in str(video.report)


@pytest.mark.parametrize("lost", [1, 3])
def test_lost_transport_packets_are_no_joint(tmp_path, recipe, clip, lost):
    path = recipe.write_kind(tmp_path, "ts", "H.264", clip)
    data = path.read_bytes()
    ours = [at for at in range(0, len(data), 188) if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 256]
    inner = [at for at in ours if not data[at + 1] & 0x40]  # not the first packet of a frame
    start = inner[len(inner) // 2]
    path.write_bytes(data[:start] + data[start + 188 * lost :])
    with open_video(path) as video:
        list(video)
        assert not video.report.is_complete and "joined" not in str(video.report)
