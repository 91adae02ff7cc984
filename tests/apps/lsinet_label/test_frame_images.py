from __future__ import annotations

import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from lib.frame_images import FrameImages
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.errors import InputError


def decode(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    assert image.format == "JPEG"
    return np.array(image, float)


@pytest.mark.parametrize(("width", "size"), [(None, (64, 80)), (40, (32, 40)), (500, (64, 80))])
def test_a_frame_as_jpeg(studies, width, size):
    image = decode(FrameImages().jpeg(studies / "p1_a.frames", 3, width))
    assert image.shape == (*size, 3)
    if width is None:
        with open_video(studies / "p1_a.frames") as video:
            assert np.abs(image - video.frame(3)).mean() < 3


def test_frames_of_more_videos_than_stay_open(studies):
    for name in "bcd":
        shutil.copytree(studies / "p1_a.frames", studies / f"{name}.frames")
    images = FrameImages(most_open=1, most_at_once=4)
    expected = images.jpeg(studies / "p1_a.frames", 5)
    names = [f"{name}.frames" for name in "bcdbcdbcdbcd"]
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(lambda name: images.jpeg(studies / name, 5), names))


def test_a_replaced_video_is_opened_again(studies):
    images = FrameImages()
    folder = studies / "p1_a.frames"
    before = images.jpeg(folder, 0)
    shutil.copyfile(folder / "007.png", folder / "000.png")
    os.utime(folder, (1, 1))
    assert images.jpeg(folder, 0) != before


def test_a_frames_pixels(studies):
    with open_video(studies / "p1_a.frames") as video:
        assert (FrameImages().pixels(studies / "p1_a.frames", 3) == video.frame(3)).all()


def test_a_damaged_frame(studies):
    (studies / "p1_a.frames" / "004.png").write_bytes(b"no image")
    with pytest.raises(InputError):
        FrameImages().jpeg(studies / "p1_a.frames", 4)


def test_a_stretch(studies):
    folder, images = studies / "p1_a.frames", FrameImages()
    (folder / "004.png").write_bytes(b"no image")
    found = dict(images.stretch(folder, 3, 7))
    assert list(found) == [3, 5, 6] and all((found[index] == images.pixels(folder, index)).all() for index in found)


def test_a_stretch_ends_when_its_video_is_closed(studies):
    shutil.copytree(studies / "p1_a.frames", studies / "b.frames")
    images = FrameImages(most_open=1)
    stretch = images.stretch(studies / "p1_a.frames", 0, 12)
    assert next(stretch)[0] == 0
    images.pixels(studies / "b.frames", 0)
    assert len(list(stretch)) < 12
