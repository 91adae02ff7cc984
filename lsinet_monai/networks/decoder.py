"""The decoder: a global guide from all scales, refined from coarse to fine by reverse stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lsinet_monai.networks.blocks import ConvNorm, upsample
from lsinet_monai.networks.encoder import CHANNELS, STRIDES

__all__ = ["Decoder", "NeighbourConnection", "ReverseStage"]


class NeighbourConnection(nn.Module):
    """Multiply and join the three scales, from coarse to fine, into the guide: one logit at stride 8.

    Source: the neighbour connection decoder of SINet-V2 (Fan et al., Concealed Object Detection, 2022).
    """

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.up1, self.up2, self.up3, self.up4 = (ConvNorm(channels, channels, 3) for _ in range(4))
        self.up5 = ConvNorm(2 * channels, 2 * channels, 3)
        self.join2 = ConvNorm(2 * channels, 2 * channels, 3)
        self.join3 = ConvNorm(3 * channels, 3 * channels, 3)
        self.head = ConvNorm(3 * channels, 3 * channels, 3)
        self.score = nn.Conv2d(3 * channels, 1, 1)

    def forward(self, f0: Tensor, f1: Tensor, f2: Tensor) -> Tensor:
        """Features (B, 32, h, w) at strides 8, 16 and 32 -> the guide's logit (B, 1, h, w) at stride 8."""
        f1_up, f2_up = (upsample(f, 2, align_corners=True) for f in (f1, f2))
        middle = self.up1(f2_up) * f1
        fine = self.up2(upsample(middle, 2, align_corners=True)) * self.up3(f1_up) * f0
        middle = self.join2(torch.cat([middle, self.up4(f2_up)], 1))
        fine = self.join3(torch.cat([fine, self.up5(upsample(middle, 2, align_corners=True))], 1))
        return self.score(self.head(fine))


class GroupReversal(nn.Module):
    """Append the reversed guide to each group of features, and refine features and guide.

    Args:
        groups: the number of groups of channels; it divides ``channels``.
        channels: the channels of the features.
    """

    def __init__(self, groups: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.groups = groups
        self.refine = nn.Conv2d(channels + groups, channels, 3, padding=1)
        self.score = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, features: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 32, h, w) and reversed guide (B, 1, h, w) -> both refined, of the same shapes."""
        groups = features.unflatten(1, (self.groups, -1))
        guides = guide.unsqueeze(1).expand(-1, self.groups, -1, -1, -1)
        features = features + torch.relu(self.refine(torch.cat([groups, guides], 2).flatten(1, 2)))
        return features, guide + self.score(features)


class ReverseStage(nn.Module):
    """Refine a guide with its reverse, 1 - sigmoid(guide), which is high where the guide has found no polyp yet.

    Source: the group-reversal attention of SINet-V2 (Fan et al., 2022).
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([GroupReversal(groups) for groups in (1, 4, CHANNELS)])

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        """Features (B, 32, h, w) and the guide's logit (B, 1, h, w) -> the refined logit (B, 1, h, w)."""
        reversed_guide = 1 - torch.sigmoid(guide)
        for block in self.blocks:
            features, reversed_guide = block(features, reversed_guide)
        return reversed_guide + guide


class Decoder(nn.Module):
    """Decode harmonised features into four logits, coarse to fine.

    Source: LSI-Net (SALI), MICCAI 2024, section 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guide = NeighbourConnection()
        self.reverse = nn.ModuleList([ReverseStage() for _ in STRIDES])

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Three of (B, 32, h, w) -> the logits (S_g, S_5, S_4, S_3), each (B, 1, h, w), at strides 8, 32, 16, 8."""
        s_g = self.guide(*features)
        s_5 = self.reverse[2](features[2], upsample(s_g, STRIDES[0] / STRIDES[2]))
        s_4 = self.reverse[1](features[1], upsample(s_5, 2))
        s_3 = self.reverse[0](features[0], upsample(s_4, 2))
        return s_g, s_5, s_4, s_3
