from __future__ import annotations

import copy
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch

from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.data.frames import resize_frame
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import SequentialVideoInferer, VideoSession
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.networks import LSINet

SIZE = (48, 80)  # of a frame
IMAGE = 64  # for the network
FRAMES = 10

MASK = np.zeros(SIZE, bool)
MASK[16:32, 24:56] = True
EMPTY = np.zeros(SIZE, bool)


def _frames(count: int = FRAMES, seed: int = 0) -> list[np.ndarray]:
    """A scene that changes a little from frame to frame."""
    rng = np.random.default_rng(seed)
    scene = rng.uniform(40, 215, (*SIZE, 3)) + rng.normal(0, 8, (count, *SIZE, 3)).cumsum(0)
    return list(scene.clip(0, 255).astype(np.uint8))


def _assert_same(session: VideoSession, expected: VideoSession) -> None:
    for (frame, probability), (other, expected_) in zip(session.propagate(), expected.propagate(), strict=True):
        assert frame == other
        np.testing.assert_allclose(probability, expected_, atol=1e-5)


def test_a_saved_session(small_network: LSINet, tmp_path: Path) -> None:
    inferer = SequentialVideoInferer(3, 4, "previous", "released", 2)
    session = VideoSession(small_network, _frames(), (IMAGE, 96), inferer, reach=5)
    for frame, mask in ((6, EMPTY), (3, MASK)):
        session.add_mask(frame, mask)
    assert len(list(session.propagate(0, 8))) == 8
    path = tmp_path / "session.pt"
    session.save(path)
    again = VideoSession.load(path, small_network, _frames())
    assert list(again.masks) == [3, 6] and (again.image_size, again.reach) == ((IMAGE, 96), 5)
    np.testing.assert_array_equal(again.masks[3], MASK)
    for option in signature(SequentialVideoInferer).parameters:
        assert getattr(again.inferer, option) == getattr(inferer, option)
    _assert_same(again, session)
    # Both corrected frames are permanent in memory: 8 x 12, 4 x 6 and 2 x 3 positions each.
    memory = torch.load(path, weights_only=True)["propagation"]["memory"]
    assert memory["permanent"] == [2 * 96, 2 * 24, 2 * 6]


def test_a_session_whose_frames_numpy_counted(small_network: LSINet, tmp_path: Path) -> None:
    session = VideoSession(small_network, _frames(), IMAGE)
    session.add_mask(np.flatnonzero([0, 0, 1])[0], MASK)
    session.save(tmp_path / "session.pt")
    assert list(VideoSession.load(tmp_path / "session.pt", small_network, _frames()).masks) == [2]


@pytest.fixture(scope="module")
def saved(small_network: LSINet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    session = VideoSession(small_network, _frames(), IMAGE)
    session.add_mask(4, MASK)
    path = tmp_path_factory.mktemp("session") / "session.pt"
    session.save(path)
    return path


OTHER_VIDEOS = [(_frames(FRAMES - 1), "has 10 frames, and this one 9"), (_frames(seed=1), "frame 4 differs")]


@pytest.mark.parametrize(("frames", "message"), OTHER_VIDEOS)
def test_a_session_of_another_video(small_network: LSINet, saved: Path, frames: list[np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VideoSession.load(saved, small_network, frames)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_session_of_another_network(small_network: LSINet, saved: Path, part: str) -> None:
    other = copy.deepcopy(small_network)
    next(getattr(other, part).parameters()).add_(0.01)
    with pytest.raises(InputError, match="another network"):
        VideoSession.load(saved, other, _frames())


def test_a_byte_that_changed_on_the_disk(small_network: LSINet, saved: Path, tmp_path: Path) -> None:
    content = bytearray(saved.read_bytes())
    at = content.index(MASK.tobytes())  # the mask's pixels, which PyTorch would read without an error
    content[at] ^= 1
    (tmp_path / "damaged.pt").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        VideoSession.load(tmp_path / "damaged.pt", small_network, _frames())


def test_files_that_are_not_sessions(small_network: LSINet, saved: Path, tmp_path: Path) -> None:
    damaged, other = tmp_path / "damaged.pt", tmp_path / "other.pt"
    damaged.write_bytes(saved.read_bytes()[:1000])
    torch.save({"model": 1}, other)
    missing = tmp_path / "none.pt"
    for path, message in ((damaged, "cannot be read"), (other, "not a session file"), (missing, "no such file")):
        with pytest.raises(InputError, match=message):
            VideoSession.load(path, small_network, _frames())


def test_a_file_of_the_first_format(small_network: LSINet, tmp_path: Path) -> None:
    frames, inferer = _frames(), SequentialVideoInferer(memory_interval=2, memory_frames=2, adjacent="previous")
    state = inferer.new_state()
    clip = frames_to_tensor(frames, IMAGE)[None]
    logits = list(inferer.stream(clip.unbind(2)[:5], small_network, state))
    assert len(logits) == 5
    VideoSession(small_network, frames, IMAGE).save(tmp_path / "new.pt")
    content = {
        "lsinet_monai_session": 1,
        "network": torch.load(tmp_path / "new.pt", weights_only=True)["network"],
        "frames": FRAMES,
        "pictures": {frame: torch.from_numpy(resize_frame(frames[frame], (16, 16))) for frame in (0, 9)},
        "image_size": [IMAGE, IMAGE],
        "reach": 3,
        "inferer": {
            "memory_interval": 2,
            "memory_frames": 2,
            "adjacent": "previous",
            "forgetting": "usage",
            "encode_batch": 1,
            "amp_dtype": None,
        },
        "masks": {9: torch.from_numpy(MASK)},
        "run": {"memory": state.memory.state_dict(), "frame": 5, "step": 1, "count": 5},
    }
    torch.save(content, tmp_path / "old.pt")
    session = VideoSession.load(tmp_path / "old.pt", small_network, frames)
    assert session.reach == 3 and session.image_size == (IMAGE, IMAGE)
    np.testing.assert_array_equal(session.masks[9], MASK)
    # It resumes with the file's memory. Frame 5 is out of the correction's reach.
    frame, probability = next(session.propagate(5))
    (logit,) = inferer.stream(clip.unbind(2)[5:6], small_network, state)
    assert frame == 5
    np.testing.assert_allclose(probability, logit_to_probability(logit, SIZE)[0, 0].numpy(), atol=1e-5)
