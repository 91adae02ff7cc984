from __future__ import annotations

import numpy as np
import pytest
from lib.frame_images import FrameImages
from lib.nearby_frames import NearbyFrames

from lsinet_monai.data import resize_frame
from lsinet_monai.errors import InputError

SMALL = (32, 40)
COUNT = 40


class Images(FrameImages):
    """Notes which frames are read one by one, and which passes over the video begin."""

    def __init__(self) -> None:
        super().__init__()
        self.single: list[int] = []
        self.passes: list[tuple[int, int]] = []

    def pixels(self, path, frame):
        self.single.append(frame)
        return super().pixels(path, frame)

    def stretch(self, path, start, end):
        self.passes.append((start, end))
        yield from super().stretch(path, start, end)


@pytest.fixture(scope="module")
def frames(recipe):
    return recipe.clip(COUNT)


@pytest.fixture(scope="module")
def path(recipe, frames, tmp_path_factory):
    """A video with one key frame."""
    path = tmp_path_factory.mktemp("video") / "clip.mkv"
    recipe.write_video(path, frames, key_every=COUNT)
    return path


@pytest.fixture
def images():
    return Images()


@pytest.fixture
def nearby(images, path):
    return NearbyFrames(images, path, COUNT, SMALL, reach=12)


def by_turns(centre, reach):
    return [centre, *(centre + side * step for step in range(1, reach + 1) for side in (-1, 1))]


def test_far_frames_come_from_one_pass(nearby, images, frames):
    nearby.move(20)
    for index in by_turns(20, 12):
        assert (nearby[index] == resize_frame(frames[index], SMALL)).all(), index
    assert images.passes == [(8, 33)] and sorted(images.single) == [17, 18, 19, 20, 21, 22, 23]
    assert (nearby[20] == resize_frame(frames[20], SMALL)).all() and images.single.count(20) == 1
    assert (nearby[14] == resize_frame(frames[14], SMALL)).all() and images.single[-1] == 14  # given out already
    assert len(nearby) == COUNT


def test_frames_out_of_reach_are_read_alone(nearby, images, frames):
    nearby.move(20)
    assert (nearby[5] == resize_frame(frames[5], SMALL)).all() and not images.passes


def test_a_pass_begins_at_the_centre_if_no_frame_before_it_is_asked_for(nearby, images):
    nearby.move(0)
    for index in range(12):
        nearby[index]
    assert images.passes == [(4, 13)]


def test_what_waits_is_kept_for_another_centre(nearby, images):
    nearby.move(20)
    nearby[30]
    nearby[8]  # a pass that began at 30 does not come back
    assert images.passes == [(30, 33)] and images.single == [8]
    nearby.move(24)
    nearby[14]
    nearby[32]
    nearby.move(30)
    nearby[27], nearby[25]
    assert images.passes == [(30, 33), (12, 37)] and images.single == [8]


def test_a_reader_that_gives_up(nearby):
    nearby.move(20)

    def stop():
        raise KeyboardInterrupt

    nearby.on_read = stop
    with pytest.raises(KeyboardInterrupt):
        nearby[20]
    nearby.on_read = lambda: None
    assert nearby[28].shape == (*SMALL, 3)


def test_a_video_that_is_closed_meanwhile(nearby, images, path, frames, recipe, tmp_path):
    nearby.move(20)
    nearby[10]
    for i in range(5):
        recipe.write_video(tmp_path / f"{i}.mkv", frames[:2])
        images.pixels(tmp_path / f"{i}.mkv", 0)
    for index in by_turns(20, 12):
        assert (nearby[index] == resize_frame(frames[index], SMALL)).all()


def test_damaged_frames(studies):
    folder = studies / "p1_a.frames"
    for frame in (1, 6, 9):
        (folder / f"{frame:03d}.png").write_bytes(b"no image")
    nearby = NearbyFrames(FrameImages(), folder, 12, SMALL, reach=12)
    nearby.move(0)
    for frame in range(12):
        if frame in (1, 6, 9):
            with pytest.raises(InputError, match=rf"^frame {frame} of 'p1_a\.frames' is damaged"):
                nearby[frame]
        else:
            assert nearby[frame].dtype == np.uint8
