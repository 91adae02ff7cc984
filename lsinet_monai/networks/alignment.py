"""Alignment of a source pyramid to a reference pyramid by deformable convolutions (PDFA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.networks.blocks import upsample
from lsinet_monai.networks.encoder import CHANNELS, STRIDES
from lsinet_monai.ops import deform_conv2d

__all__ = ["Alignment", "DeformableAlignment"]

GROUPS = 8
TAPS = 9


class DeformableAlignment(nn.Module):
    """A modulated deformable 3x3 convolution whose offsets and mask are predicted from offset features."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        bound = (channels * TAPS) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        self.offset = nn.Conv2d(channels, 3 * GROUPS * TAPS, 3, padding=1)
        for parameter in self.offset.parameters():
            nn.init.zeros_(parameter)

    def forward(self, source: Tensor, offset_features: Tensor) -> Tensor:
        """Align a source: source and offset features (B, 32, h, w) -> (B, 32, h, w)."""
        offsets, mask = self.offset(offset_features).split([2 * GROUPS * TAPS, GROUPS * TAPS], dim=1)
        return deform_conv2d(source, offsets, self.weight, self.bias, padding=1, mask=torch.sigmoid(mask))


class ScaleAlignment(nn.Module):
    """Align one scale of the pyramid.

    Args:
        coarsest: whether this is the coarsest scale. Every other scale starts from the result of the next coarser one.
        channels: the channels of source, reference and result.
    """

    def __init__(self, coarsest: bool, channels: int = CHANNELS) -> None:
        super().__init__()
        double = 2 * channels
        self.offset1 = nn.Conv2d(double, channels, 3, padding=1)
        self.offset2 = nn.Conv2d(channels if coarsest else double, channels, 3, padding=1)
        self.deform = DeformableAlignment(channels)
        if not coarsest:
            self.offset3 = nn.Conv2d(channels, channels, 3, padding=1)
            self.fuse = nn.Conv2d(double, channels, 3, padding=1)

    def forward(
        self, source: Tensor, reference: Tensor, coarser: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Align the source to the reference.

        Args:
            source: (B, 32, h, w), the features to align.
            reference: (B, 32, h, w), the features to align them to.
            coarser: the result at the next coarser scale, two of (B, 32, h / 2, w / 2); None at the coarsest scale.

        Returns:
            the offset features and the aligned source, both (B, 32, h, w).
        """
        offset = _lrelu(self.offset1(torch.cat([source, reference], 1)))
        if coarser is None:
            offset = _lrelu(self.offset2(offset))
            return offset, self.deform(source, offset)
        # Offsets are in pixels of their own scale: from one scale to the next finer one they double.
        offset = _lrelu(self.offset2(torch.cat([offset, 2 * upsample(coarser[0], 2)], 1)))
        offset = _lrelu(self.offset3(offset))
        aligned = self.deform(source, offset)
        return offset, self.fuse(torch.cat([aligned, upsample(coarser[1], 2)], 1))


class Alignment(nn.Module):
    """Align a source's features to a reference's, from coarse to fine.

    Source: LSI-Net (SALI), MICCAI 2024, Short-term Alignment Module, with the pyramid of EDVR (Wang et al., 2019) and
    the convolution of Deformable ConvNets v2 (Zhu et al., 2019).
    """

    def __init__(self) -> None:
        super().__init__()
        last = len(STRIDES) - 1
        self.scales = nn.ModuleList([ScaleAlignment(coarsest=i == last) for i in range(len(STRIDES))])

    def forward(self, source: tuple[Tensor, ...], reference: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Align all scales: source and reference, each three of (B, 32, h, w) -> three of (B, 32, h, w)."""
        aligned: list[Tensor] = []
        coarser = None
        for i in reversed(range(len(STRIDES))):
            offset, result = self.scales[i](source[i], reference[i], coarser)
            if i > 0:
                result = _lrelu(result)
            coarser = (offset, result)
            aligned.insert(0, result)
        return tuple(aligned)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)
