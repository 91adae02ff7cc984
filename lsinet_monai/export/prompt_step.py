"""A click as a pure function of tensors, for runtimes without Python."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, reduce_mask
from lsinet_monai.networks.encoder import CHANNELS, STRIDES
from lsinet_monai.networks.prompt_head import PROMPT_STRIDE, PromptHead, check_prompts

__all__ = ["FEATURE_NAMES", "PromptStep", "StillStep"]

FEATURE_NAMES = [f"features_{stride}" for stride in STRIDES]
"""The names of a frame's features in exported files."""


class StillStep(nn.Module):
    """Segment a frame by itself, and return its features too, which :class:`PromptStep` takes.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: LSINet) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """Segment a frame, (1, 3, H, W), normalised.

        Returns:
            the logit (1, 1, H, W), and after it the features of :data:`FEATURE_NAMES`, (1, 32, h, w).
        """
        features = self.network.encode(frame)
        logits = self.network.decode(features, features, features.read_own())
        return self.network.upsample_logits(logits, frame.shape[-2:])[-1], *features.features


class PromptStep(nn.Module):
    """Segment one lesion of an encoded frame from points, a box and the mask so far, by one pass of the prompt head.

    Repeat it for each further point, with all points so far and with the mask of the step before. It always sees the
    whole frame. :class:`lsinet_monai.inferers.PromptedFrame` gives the same masks where it sees that too. Small lesions
    it sees larger, in a window, so their outlines are finer.

    The features come from the exported network or streaming step, once per frame. Maps are of the frame's size, so a
    caller has nothing to do with strides and padding. What a click computes of the frame itself is little.

    Args:
        head: a network's prompt head, in evaluation mode.
        image_size: the frames' height and width, 64 or more, or one number for both.
    """

    def __init__(self, head: PromptHead, image_size: int | Sequence[int]) -> None:
        super().__init__()
        self.head = head
        self.image_size = ensure_tuple_rep(image_size, 2)

    @property
    def dynamic_shapes(self) -> dict[str, dict[int, Dim] | None]:
        """The sizes that an export leaves free, as :func:`torch.export.export` takes them: the number of points."""
        points = {1: Dim("points", min=1)}
        return {name: points if name in ("points", "labels") else None for name in self.no_prompts()}

    def no_prompts(self) -> dict[str, Tensor]:
        """Inputs by name: zeros, and two places that no point takes."""
        weight = next(self.head.parameters())
        height, width = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in self.image_size)
        return {
            "frame": torch.zeros(1, 3, *self.image_size, device=weight.device),
            **{
                name: weight.new_zeros(1, CHANNELS, height // stride, width // stride)
                for name, stride in zip(FEATURE_NAMES, STRIDES, strict=True)
            },
            "points": torch.zeros(1, 2, 2, device=weight.device),
            "labels": torch.full((1, 2), -1, device=weight.device),
            "box": torch.zeros(1, 4, device=weight.device),
            "mask": torch.zeros(1, 1, *self.image_size, device=weight.device),
        }

    def forward(
        self,
        frame: Tensor,
        features_8: Tensor,
        features_16: Tensor,
        features_32: Tensor,
        points: Tensor,
        labels: Tensor,
        box: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Segment a lesion.

        Args:
            frame: (1, 3, H, W), normalised, of ``image_size``.
            features_8: (1, 32, h, w), the frame's features at stride 8.
            features_16: the same at stride 16.
            features_32: the same at stride 32.
            points: (1, N, 2), float32, as x, y in pixels of the frame at this size, from its upper left corner, N of 1
                or more.
            labels: (1, N), int64: 1 for a point in the lesion, 0 for one outside, -1 for a place that no point takes.
            box: (1, 4), float32, around the lesion, as left, top, right, bottom in the same pixels; zeros for none.
            mask: (1, 1, H, W), float32, in [0, 1], the lesion's mask so far: the sigmoid of an earlier logit, or a
                person's mask; zeros for none.

        Returns:
            the lesion's logit, (1, 1, H, W).

        Raises:
            InputError: a frame or mask of another size, or prompts that do not have these shapes.
        """
        height, width = self.image_size
        if tuple(frame.shape) != (1, 3, height, width) or tuple(mask.shape) != (1, 1, height, width):
            raise InputError(
                f"a click needs a frame {(1, 3, height, width)} and a mask {(1, 1, height, width)}, got "
                f"{tuple(frame.shape)} and {tuple(mask.shape)}"
            )
        detail = self.head.see_frame(frame)
        reduced = reduce_mask(mask, self.image_size).to(detail.dtype)
        check_prompts(points, labels, box, reduced, detail)
        features = [x.to(detail.dtype) for x in (features_8, features_16, features_32)]
        logit = self.head(features, detail, points, labels, box, reduced).float()
        return F.interpolate(logit, scale_factor=PROMPT_STRIDE, mode="bilinear")[..., :height, :width]
