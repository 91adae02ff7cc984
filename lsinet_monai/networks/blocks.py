"""Blocks that several parts of the network share."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConvNorm", "pad_frames", "upsample"]


class ConvNorm(nn.Sequential):
    """Convolve without bias, then normalise by batch: (B, C_in, H, W) -> (B, C_out, H, W). There is no activation.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: side of the kernel in pixels, or (vertical, horizontal).
        dilation: distance between the kernel's taps in pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], dilation: int = 1):
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding="same", dilation=dilation, bias=False)
        super().__init__(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels)))


def upsample(x: Tensor, scale: float, align_corners: bool = False) -> Tensor:
    """Resize bilinearly by a factor, without antialiasing: (B, C, h, w) -> (B, C, scale * h, scale * w).

    Args:
        x: the features or logits.
        scale: the factor; below 1 it reduces.
        align_corners: see :func:`torch.nn.functional.interpolate`.
    """
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=align_corners)


def pad_frames(frames: Tensor, stride: int) -> Tensor:
    """Pad frames to multiples of a stride, by repeating the border at the right and the bottom.

    Args:
        frames: (B, C, H, W).
        stride: in pixels.
    """
    height, width = frames.shape[-2:]
    if height % stride or width % stride:
        return F.pad(frames, (0, -width % stride, 0, -height % stride), mode="replicate")
    return frames
