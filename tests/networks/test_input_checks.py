"""What an engineer may hand to the network by mistake: one clear error, which says the way out."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet

FRAME = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(2, 1, 64, 96)
MASK[..., 16:40, 20:60] = 1

# (frames, a part of the error)
NOT_FRAMES = [
    (FRAME.numpy(), r"must be a tensor \(B, 3, H, W\), got array float32 \(2, 3, 64, 96\)"),
    (list(FRAME), "must be a tensor .*, got list"),
    (FRAME[:0], r"B of 1 or more.*got \(0, 3, 64, 96\)"),
    (FRAME.movedim(1, 3), r"got \(2, 64, 96, 3\)"),
    (FRAME.clamp(0, 1).mul(255).byte(), "floating-point numbers, got tensor uint8 .*: normalise them"),
    (FRAME.long(), "floating-point numbers, got tensor int64"),
    (FRAME > 0, "floating-point numbers, got tensor bool"),
    (FRAME.clamp(0, 1) * 255, r"values from 0 to 255: normalise them as lsinet_monai\.data\.frames_to_tensor"),
    (FRAME.to("meta"), "frames are on meta, and the network is on cpu"),
]
# (further arguments, a part of the error)
NOT_SAMPLES = [
    ({"adjacent": FRAME[..., :64]}, r"adjacent frames .* \(2, 3, 64, 96\), got \(2, 3, 64, 64\)"),
    ({"adjacent": FRAME[..., :90]}, r"adjacent frames .* got \(2, 3, 64, 90\)"),  # padded it would fit
    ({"memory": FRAME[..., :64]}, "memory frames"),
    ({"memory": FRAME[:1]}, "memory frames"),
    ({"memory_mask": MASK[0]}, r"memory_mask .* \(2, 1, 64, 96\), a mask for each frame, got \(1, 64, 96\)"),
    ({"memory_mask": MASK[:1]}, "a mask for each frame"),
    ({"memory_mask": MASK[..., ::2, ::2]}, "a mask for each frame"),
    ({"memory_mask": MASK.expand(2, 3, 64, 96)}, "a mask for each frame"),
    ({"memory_mask": 255 * MASK}, r"values from 0 to 255, and must lie in \[0, 1\]: divide"),
    ({"memory_mask": (255 * MASK).byte()}, "values from 0 to 255"),
    ({"memory_mask": 2 * MASK - 1}, "values from -1 to 1"),
]


@pytest.fixture
def network(small_network: LSINet) -> LSINet:
    """A network that has seen no frame yet."""
    network = LSINet(**small_network.config).eval()
    network.load_state_dict(small_network.state_dict())
    return network


@pytest.mark.parametrize(("frames", "said"), NOT_FRAMES)
def test_what_is_not_a_frame_is_refused(network: LSINet, frames: Any, said: str) -> None:
    for call in (network, network.encode):
        with pytest.raises(InputError, match=said) as error:
            call(frames)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("given", "said"), NOT_SAMPLES)
def test_a_sample_that_does_not_fit_is_refused(network: LSINet, given: dict[str, Tensor], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        network(FRAME, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64])
@torch.no_grad()
def test_a_mask_may_be_of_any_type(network: LSINet, dtype: torch.dtype) -> None:
    expected = network(FRAME, memory_mask=MASK)[-1]
    torch.testing.assert_close(network(FRAME, memory_mask=MASK.to(dtype))[-1], expected)


@torch.no_grad()
def test_frames_that_are_not_normalised_are_said_once(network: LSINet) -> None:
    with pytest.warns(UserWarning, match=r"all lie in \[0, 1\], so the masks may be wrong: normalise them"):
        network(FRAME.sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(FRAME.sigmoid())
        network(torch.zeros_like(FRAME))


@torch.no_grad()
def test_frames_in_that_range_may_follow_normalised_ones(network: LSINet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(FRAME)
        network(FRAME.sigmoid())
