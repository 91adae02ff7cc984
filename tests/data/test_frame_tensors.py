from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lsinet_monai.data import frames_to_tensor, phantom_clip, resize_frame
from lsinet_monai.data.frame_tensors import _resize_all_on_device, resize_on_device, tensor_to_frame
from lsinet_monai.errors import InputError

# frames, a part of the error
NOT_FRAMES: list[tuple[list[Any], str]] = [
    ([], "got none"),
    ([np.zeros((70, 80, 3), np.float32)], r"got array float32 \(70, 80, 3\)"),
    ([np.zeros((70, 80, 3), np.uint8), np.zeros((70, 80), np.uint8)], r"got array uint8 \(70, 80\)"),
    ([np.zeros((3, 70, 80), np.uint8)], r"got array uint8 \(3, 70, 80\)"),
    ([np.zeros((70, 80, 4), np.uint8)], r"got array uint8 \(70, 80, 4\)"),
    ([torch.zeros(70, 80, 3, dtype=torch.uint8)], "got tensor uint8"),
]


@pytest.mark.parametrize(("frames", "said"), NOT_FRAMES)
def test_frames_to_tensor_takes_pictures_only(frames: list[Any], said: str) -> None:
    with pytest.raises(InputError, match=rf"^frames must be arrays, uint8 \(H, W, 3\), RGB from 0 to 255, {said}"):
        frames_to_tensor(frames, 64)


@pytest.mark.parametrize("image_size", [16, (16, 16), [16, 24]])
def test_frames_to_tensor_normalises_each_channel(image_size: int | Sequence[int]) -> None:
    frames = [np.full((10, 12, 3), (200, 40, 10), np.uint8), np.zeros((20, 8, 3), np.uint8)]
    tensor = frames_to_tensor(frames, image_size)
    height, width = (16, 16) if isinstance(image_size, int) else image_size
    assert tensor.shape == (3, 2, height, width) and tensor.dtype == torch.float32 and tensor.is_contiguous()
    red = (200 / 255 - 0.485) / 0.229
    torch.testing.assert_close(tensor[0, 0], torch.full((height, width), red))
    torch.testing.assert_close(tensor[2, 1], torch.full((height, width), -0.406 / 0.225))


RESIZES = [  # the frame's size, and the result's
    ((1080, 1920), (352, 352)),
    ((1080, 1350), (256, 320)),
    ((576, 720), (512, 640)),  # many halves
    ((480, 640), (352, 352)),
    ((300, 280), (352, 352)),  # one side grows
    ((120, 200), (512, 640)),
    ((352, 352), (352, 352)),
    ((97, 131), (64, 89)),
]


def _frame(height: int, width: int) -> np.ndarray:
    """An enlarged phantom frame with noise."""
    ((small, _),) = phantom_clip(1, (96, 128), seed=3)
    large = np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(0).integers(-20, 21, large.shape, dtype=np.int16)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("frame_size", "size"), RESIZES)
def test_a_device_resizes_as_pillow_does(frame_size: tuple[int, int], size: tuple[int, int]) -> None:
    frame = _frame(*frame_size)
    found = resize_on_device(torch.from_numpy(frame), size)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, resize_frame(frame, size).transpose(2, 0, 1))


@given(st.tuples(*[st.integers(1, 150)] * 2), st.tuples(*[st.integers(1, 150)] * 2), st.integers(0, 99))
def test_at_any_size(frame_size: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (*frame_size, 3), np.uint8)
    found = resize_on_device(torch.from_numpy(frame), size)
    # Pillow 13 begins with the height where that shrinks most.
    assert np.abs(found.numpy() - resize_frame(frame, size).transpose(2, 0, 1)).max() <= 1


def test_a_device_takes_frames_as_they_are() -> None:
    frames = [_frame(480, 640), _frame(48, 64)[::-1, 5:]]  # the second is a view
    expected = [torch.from_numpy(resize_frame(frame, (256, 352))).permute(2, 0, 1) for frame in frames]
    found = _resize_all_on_device(frames, (256, 352), torch.device("cpu"))
    assert found.is_contiguous() and torch.equal(found, torch.stack(expected, 1).float())


def test_other_devices_get_what_the_cpu_made() -> None:
    tensor = frames_to_tensor([np.zeros((10, 12, 3), np.uint8)], (16, 24), "meta")
    assert tensor.device.type == "meta" and tensor.shape == (3, 1, 16, 24) and tensor.dtype == torch.float32


@pytest.mark.gpu
def test_on_cuda_the_frames_are_those_of_the_cpu() -> None:
    frames = [_frame(1080, 1920), _frame(480, 640)[::-1, 5:]]  # the second is a view
    found = frames_to_tensor(frames, (256, 352), "cuda")
    expected = frames_to_tensor(frames, (256, 352))
    assert found.device.type == "cuda" and found.shape == expected.shape and found.is_contiguous()
    torch.testing.assert_close(found.cpu(), expected, atol=1e-6, rtol=1e-6)  # a division less exact by a bit


def test_tensor_to_frame_undoes_the_normalisation() -> None:
    frame = _frame(48, 64)
    np.testing.assert_array_equal(tensor_to_frame(frames_to_tensor([frame], (48, 64))[:, 0]), frame)
