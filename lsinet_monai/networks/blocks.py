"""Blocks that several parts of the network share."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConvNorm", "upsample"]


class ConvNorm(nn.Sequential):
    """A convolution without bias that keeps the size, then batch normalisation, without an activation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], dilation: int = 1):
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding="same", dilation=dilation, bias=False)
        super().__init__(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels)))


def upsample(x: Tensor, scale: float, align_corners: bool = False) -> Tensor:
    """Resize bilinearly by a factor, without antialiasing."""
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=align_corners)
