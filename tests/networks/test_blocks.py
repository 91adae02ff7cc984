from __future__ import annotations

import pytest
import torch

from lsinet_monai.networks.blocks import ConvNorm, pad_frames, upsample


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 5), ((1, 7), 1), ((7, 1), 1)])
def test_a_convolution_keeps_the_size(kernel_size: int | tuple[int, int], dilation: int) -> None:
    block = ConvNorm(4, 6, kernel_size, dilation)
    assert block(torch.randn(2, 4, 9, 11)).shape == (2, 6, 9, 11)
    assert block.conv.bias is None and [name for name, _ in block.named_children()] == ["conv", "norm"]


# (scale, align_corners, a row [0, 1] after it)
ROWS = [(2, False, [0, 0.25, 0.75, 1]), (2, True, [0, 1 / 3, 2 / 3, 1]), (0.5, False, [0.5]), (1.5, True, [0, 0.5, 1])]


@pytest.mark.parametrize(("scale", "align_corners", "expected"), ROWS)
def test_upsample(scale: float, align_corners: bool, expected: list[float]) -> None:
    x = torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2)
    torch.testing.assert_close(upsample(x, scale, align_corners)[0, 0, 0], torch.tensor(expected))


def test_frames_are_padded_by_their_border() -> None:
    frames = torch.arange(2.0 * 3 * 5).view(1, 2, 3, 5)
    padded = pad_frames(frames, 4)
    assert padded.shape == (1, 2, 4, 8)
    assert torch.equal(padded[..., :3, :5], frames)
    assert torch.equal(padded[0, :, 3, 7], frames[0, :, 2, 4])
    assert pad_frames(padded, 4) is padded
