"""The prompt head: from points, a box and the mask so far to a better mask of an encoded frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.errors import InputError
from lsinet_monai.networks.blocks import ConvNorm, pad_frames, upsample
from lsinet_monai.networks.encoder import CHANNELS, STRIDES
from lsinet_monai.utils.tensors import count_along

__all__ = [
    "NEGATIVE",
    "NO_POINT",
    "POSITIVE",
    "PROMPT_STRIDE",
    "PromptHead",
    "check_prompt_head",
    "check_prompts",
    "draw_prompts",
    "reduce_mask",
]

PROMPT_STRIDE = 4
"""The stride at which the prompt head draws prompts and computes masks."""

POSITIVE, NEGATIVE, NO_POINT = 1, 0, -1
"""Labels of points: in the lesion, not in it, and a place in a batch that no point takes."""

# Standard deviations of the spots that points are drawn as, in cells of the stride: one shows where a person has
# clicked, the other which side of the frame is meant.
_SPOTS = (1.5, 6.0)
_PROMPTS = 2 * len(_SPOTS) + 2
_DETAIL = 24
_WIDTHS = (24, 48, 64, 96)
_MATCH_CHANNELS = 16


def draw_prompts(points: Tensor, labels: Tensor, box: Tensor | None, mask: Tensor) -> Tensor:
    """Draw prompts as pictures at stride 4.

    Args:
        points: (B, N, 2) as x, y in pixels of the encoder's input.
        labels: (B, N): 1 in the lesion, 0 not in it, -1 for a place that no point takes.
        box: (B, 4) as left, top, right, bottom in the same pixels; a box without an area counts as none.
        mask: (B, 1, h, w) in [0, 1], the mask so far at stride 4.

    Returns:
        (B, 6, h, w): narrow and broad spots at the positive points, the same at the negative ones, the box, the mask.
    """
    y = count_along(mask[0, 0, :, 0], 0).to(mask.dtype) + 0.5
    x = count_along(mask[0, 0, 0], 0).to(mask.dtype) + 0.5
    centres = points.to(mask.dtype) / PROMPT_STRIDE
    drawn = []
    for label in (POSITIVE, NEGATIVE):
        present = (labels == label).to(mask.dtype)[..., None]
        for spot in _SPOTS:
            column = torch.exp(-((y - centres[..., 1:]) ** 2) / (2 * spot**2)) * present
            row = torch.exp(-((x - centres[..., :1]) ** 2) / (2 * spot**2))
            # Where spots overlap, the strongest counts.
            drawn.append((column[..., :, None] * row[..., None, :]).amax(1))
    if box is None:
        drawn.append(torch.zeros_like(drawn[0]))
    else:
        left, top, right, bottom = (box.to(mask.dtype) / PROMPT_STRIDE).unbind(1)
        inside_x = (x >= left[:, None]) & (x < right[:, None])
        inside_y = (y >= top[:, None]) & (y < bottom[:, None])
        drawn.append((inside_y[:, :, None] & inside_x[:, None, :]).to(mask.dtype))
    return torch.cat([torch.stack(drawn, 1), mask], 1)


class _Residual(nn.Module):
    """Two convolutions and a shortcut: (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class _PointMatch(nn.Module):
    """How like the features at the points a frame's features are: one map for positive, one for negative points."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv2d(CHANNELS, _MATCH_CHANNELS, 1)

    def forward(self, features: Tensor, points: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (B, 32, h, w), points (B, N, 2), labels (B, N) -> cosines (B, 2, h, w), -1 without such a point."""
        projected = F.normalize(self.project(features), dim=1)
        x, y = (points.to(features.dtype) * 2).unbind(2)
        at = torch.stack([x / size[1] - 1, y / size[0] - 1], 2).unsqueeze(1)
        queries = F.grid_sample(projected, at, align_corners=False, padding_mode="border")[:, :, 0]
        cosines = torch.einsum("bcn,bchw->bnhw", F.normalize(queries, dim=1), projected)
        maps = []
        for label in (POSITIVE, NEGATIVE):
            absent = (labels != label)[..., None, None]
            maps.append(cosines.masked_fill(absent, -1).amax(1))
        return torch.stack(maps, 1)


class PromptHead(nn.Module):
    """Segment one lesion of an encoded frame from a person's points and box, and from the mask so far.

    A small U-Net at strides 4 to 32. It sees the frame itself at stride 4, the encoder's features at strides 8, 16 and
    32, the prompts, and how like the places with points each place is. What does not depend on prompts is computed once
    per frame, by :meth:`see_frame`.

    Source: the loop of clicks and earlier masks follows RITM (Sofiiuk et al., ICIP 2022) and FocalClick (Chen et al.,
    CVPR 2022).
    """

    def __init__(self) -> None:
        super().__init__()
        w4, w8, w16, w32 = _WIDTHS
        self.detail = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, _DETAIL, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(_DETAIL),
            nn.ReLU(),
        )
        self.match = nn.ModuleList([_PointMatch() for _ in STRIDES])
        self.join4 = ConvNorm(_DETAIL + _PROMPTS, w4, 3)
        self.down = nn.ModuleList([_down(*pair) for pair in ((w4, 32), (w8, w8), (w16, w16))])
        self.join = nn.ModuleList(
            [ConvNorm(into + CHANNELS + 2, width, 3) for into, width in ((32, w8), (w8, w16), (w16, w32))]
        )
        self.refine = nn.ModuleList([_Residual(width) for width in (w8, w16, w32)])
        self.overview = nn.Linear(w32, w32)
        self.up = nn.ModuleList([ConvNorm(w32, w16, 1), ConvNorm(w16, w8, 1), ConvNorm(w8, w4, 1)])
        self.join_up = nn.ModuleList([_Residual(w16), _Residual(w8), _Residual(w4)])
        self.score = nn.Conv2d(w4, 1, 3, padding=1)

    def see_frame(self, frames: Tensor) -> Tensor:
        """Compute what does not depend on prompts, from the encoder's frames: (B, 3, H, W) -> (B, 24, H / 4, W / 4).

        Frames are padded as the encoder's are.
        """
        return self.detail(pad_frames(frames, STRIDES[-1]).to(self.score.weight.dtype))

    def forward(
        self,
        features: Sequence[Tensor],
        detail: Tensor,
        points: Tensor,
        labels: Tensor,
        box: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Segment a lesion.

        Args:
            features: the encoder's features of the frame, three of (B, 32, h, w).
            detail: the result of :meth:`see_frame`.
            points: (B, N, 2) as x, y in pixels of the encoder's input, N of 1 or more.
            labels: (B, N): 1 in the lesion, 0 not in it, -1 for a place that no point takes.
            box: (B, 4) as left, top, right, bottom in the same pixels; a box without an area counts as none.
            mask: (B, 1, H / 4, W / 4) in [0, 1], the mask so far; nothing if not given.

        Returns:
            the logit (B, 1, H / 4, W / 4).
        """
        height, width = detail.shape[-2:]
        if mask is None:
            mask = detail.new_zeros((detail.shape[0], 1, height, width))
        size = height * PROMPT_STRIDE, width * PROMPT_STRIDE
        prompts = draw_prompts(points, labels, box, mask)
        x = torch.relu(self.join4(torch.cat([detail, prompts], 1)))
        kept = [x]
        for down, join, refine, match, encoded in zip(
            self.down, self.join, self.refine, self.match, features, strict=True
        ):
            cosines = match(encoded, points, labels, size)
            x = refine(torch.relu(join(torch.cat([down(x), encoded, cosines], 1))))
            kept.append(x)
        x = kept.pop()
        x = x * torch.sigmoid(self.overview(x.mean((2, 3))))[..., None, None]
        for up, join_up in zip(self.up, self.join_up, strict=True):
            x = join_up(torch.relu(upsample(up(x), 2) + kept.pop()))
        return self.score(x)


def _down(into: int, out: int) -> nn.Sequential:
    """Halve the side: (B, into, h, w) -> (B, out, h / 2, w / 2)."""
    return nn.Sequential(nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def reduce_mask(mask: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Bring a mask to the prompt head's size.

    Args:
        mask: (B, 1, H, W) in [0, 1], of a frame's own size.
        image_size: the frame's height and width at the encoder's input, without its padding.

    Returns:
        (B, 1, h, w) in [0, 1], at stride 4 of the padded frame; 0 in the padding.
    """
    if mask.shape[-2:] != image_size:
        mask = F.interpolate(mask, image_size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
    bottom, right = (-side % STRIDES[-1] for side in image_size)
    return F.avg_pool2d(F.pad(mask, (0, right, 0, bottom)), PROMPT_STRIDE)


def check_prompt_head(head: PromptHead | None) -> PromptHead:
    """Return a network's prompt head.

    Raises:
        InputError: there is none.
    """
    if head is None:
        raise InputError(
            "the network has no prompt head, so it cannot segment from points: take the shipped model, or give it one "
            "with network.add_prompt_head() and train it (docs/train.md)"
        )
    return head


def check_prompts(points: Tensor, labels: Tensor, box: Tensor | None, mask: Tensor | None, detail: Tensor) -> None:
    """Check the shapes of prompts, see :meth:`lsinet_monai.networks.LSINet.refine`.

    Raises:
        InputError: they do not fit one another, or the frame.
    """
    batch = detail.shape[0]
    if points.ndim != 3 or points.shape[0] != batch or points.shape[1] == 0 or points.shape[2] != 2:
        raise InputError(
            f"points must be ({batch}, N, 2) with N of 1 or more, got {tuple(points.shape)}: give a frame without "
            "points one with label -1"
        )
    if labels.shape != points.shape[:2]:
        raise InputError(f"labels must be {tuple(points.shape[:2])}, one for each point, got {tuple(labels.shape)}")
    if box is not None and box.shape != (batch, 4):
        raise InputError(f"box must be ({batch}, 4), got {tuple(box.shape)}")
    size = (batch, 1, *detail.shape[-2:])
    if mask is not None and mask.shape != size:
        raise InputError(f"mask must be {size}, got {tuple(mask.shape)}: see lsinet_monai.networks.reduce_mask")
