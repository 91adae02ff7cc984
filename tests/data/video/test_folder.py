from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import open_video, read_frame
from lsinet_monai.errors import InputError


@pytest.fixture
def folder(tmp_path, clip):
    folder = tmp_path / "case1.frames"
    folder.mkdir()
    for number, frame in enumerate(clip[:12], 1):
        Image.fromarray(frame).save(folder / f"image{number}.png")
    (folder / "notes.txt").write_text("not a frame")
    return folder


def test_frames_come_in_natural_order_with_index_and_time(folder, clip):
    with open_video(folder, fps=10) as video:
        assert (len(video), video.size, video.fps) == (12, (64, 80), 10)
        assert video.files[1] == "image2.png" and video.files[9] == "image10.png"
        for (index, seconds, frame), expected in zip(video, enumerate(clip), strict=False):
            assert index == expected[0] and seconds == pytest.approx(index / 10)
            assert (frame == expected[1]).all()
            assert (video[index] == frame).all()
        assert video.report.is_complete and video.report.expected == 12


def test_frames_are_decoded_ahead_but_no_farther_than_the_buffer(folder, monkeypatch):
    decoded = []
    monkeypatch.setattr("lsinet_monai.data.video.video.BUFFER_BYTES", 4 * 64 * 80 * 3)
    monkeypatch.setattr(
        "lsinet_monai.data.video.folder.read_frame", lambda path: (decoded.append(path), read_frame(path))[1]
    )
    with open_video(folder) as video:
        frames = iter(video)
        next(frames)
        frames.close()
        assert 1 <= len(decoded) <= 1 + 4 + 1


def test_a_damaged_frame_is_skipped_and_reported(folder):
    data = (folder / "image3.png").read_bytes()
    (folder / "image3.png").write_bytes(data[: len(data) // 2])
    with open_video(folder) as video:
        assert [index for index, _, _ in video] == [0, 1, *range(3, 12)]
        assert (video.report.found, video.report.skipped) == (11, (2,))
        with pytest.raises(InputError, match="frame 2 is damaged"):
            video[2]


def test_frames_keep_their_own_size(folder):
    Image.new("RGB", (20, 10)).save(folder / "image12.png")
    with open_video(folder) as video:
        assert [frame.shape for *_, frame in video][-2:] == [(64, 80, 3), (10, 20, 3)]


def test_a_folder_without_frames_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no frames"):
        open_video(tmp_path)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of its 1 frames can be read"):
        open_video(tmp_path)


def test_real_frames(real_data):
    folder = next(path for path in sorted(real_data.rglob("Frame")) if path.is_dir())
    folder = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    with open_video(folder) as video:
        frames = [frame for *_, frame in video]
        assert len(frames) == len(video) == len(video.files) and video.report.is_complete
        assert frames[0].dtype == np.uint8 and frames[0].shape == (*video.size, 3)
