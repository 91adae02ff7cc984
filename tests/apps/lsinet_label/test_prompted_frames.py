from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from lib.frame_images import FrameImages
from lib.model import ServedModel
from lib.prompted_frames import PromptedFrames

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import PromptedFrame
from lsinet_monai.networks import load_checkpoint, save_model


@pytest.fixture
def model(make_small_network, tmp_path):
    save_model(make_small_network("mobilenetv3_small_050", prompt_head=True), tmp_path / "model.pt", 64)
    return ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")


@pytest.fixture
def encoded(monkeypatch):
    """The number of frames encoded so far, in a list."""
    counts = [0]
    make = PromptedFrame.__init__

    def counting(self, *args, **kwargs):
        counts[0] += 1
        make(self, *args, **kwargs)

    monkeypatch.setattr(PromptedFrame, "__init__", counting)
    return counts


def test_the_mask_is_the_sessions(video, model, tmp_path):
    frames = PromptedFrames(FrameImages(), model)
    found = frames.segment(video, 3, [[40, 20], [10, 50]], [1, 0])
    network, size = load_checkpoint(tmp_path / "model.pt")
    expected = PromptedFrame(network, FrameImages().pixels(video.path, 3), (size, size))
    # The served network has its batch norms in its convolutions: an outline's pixel may differ.
    assert (found != expected.segment([[40, 20], [10, 50]], [1, 0])).mean() < 0.01


def test_a_frame_is_encoded_once_until_others_take_its_place(video, model, encoded):
    frames = PromptedFrames(FrameImages(), model, most=2)
    frames.prepare(video, 0)
    frames.segment(video, 0, [[40, 20]], [1])
    frames.prepare(video, 1)
    frames.prepare(video, 0)
    assert encoded == [2]
    frames.prepare(video, 2)  # in place of frame 1
    frames.prepare(video, 0)
    assert encoded == [3]
    frames.prepare(video, 1)
    assert encoded == [4]


def test_a_video_that_was_replaced_is_encoded_again(video, model, encoded):
    frames = PromptedFrames(FrameImages(), model)
    before = frames.segment(video, 0, [[40, 20]], [1])
    shutil.copyfile(video.path / "007.png", video.path / "000.png")
    os.utime(video.path, (1, 1))
    frames.segment(video, 0, [[40, 20]], [1])
    assert encoded == [2] and before.shape == (64, 80) and before.dtype == np.bool_


def test_a_damaged_frame(video, model):
    (video.path / "004.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"frame 4 of 'p1_a\.frames' is damaged"):
        PromptedFrames(FrameImages(), model).prepare(video, 4)
