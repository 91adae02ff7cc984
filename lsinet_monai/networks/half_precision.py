"""A network whose encoder computes in half precision, for inference on a GPU."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lsinet_monai.networks.encoder import Encoder
from lsinet_monai.networks.lsinet import LSINet

__all__ = ["HalfEncoder", "halve_encoder"]


class HalfEncoder(nn.Module):
    """An encoder with weights in half precision. It takes and gives the type of its frames, as :class:`Encoder` does.

    Autocast would convert every weight again for every frame, and compute layer norms in float32. Batch norms keep
    weights and statistics in float32, which costs no time.

    Args:
        encoder: its weights and buffers are converted in place.
        dtype: ``torch.bfloat16`` or ``torch.float16``.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.fixed_size = encoder.fixed_size
        # Frames are rounded after it.
        self.renormalise, encoder.renormalise = encoder.renormalise, nn.Identity()
        self.encoder = encoder
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                continue
            for weight in module.parameters(recurse=False):
                weight.data = weight.data.to(dtype)
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_floating_point():
                    setattr(module, name, buffer.to(dtype))

    def forward(self, frames: Tensor, amp_dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
        """Encode frames: (B, 3, H, W) -> three of (B, 32, H / stride, W / stride). ``amp_dtype`` has no effect."""
        features = self.encoder(self.renormalise(frames).to(self.dtype))
        return tuple(feature.to(frames.dtype) for feature in features)


def halve_encoder(network: LSINet, dtype: torch.dtype) -> LSINet:
    """Copy a network for inference with its whole encoder in half precision: backbone and receptive-field blocks.

    The keys, the values and all that follows stay in float32.

    Args:
        network: in evaluation mode, with weights in float32.
        dtype: ``torch.bfloat16`` or ``torch.float16``.

    Returns:
        the copy, on the network's device. It cannot be saved as a model file.
    """
    half = copy.deepcopy(network)
    half.encoder = HalfEncoder(half.encoder, dtype)  # type: ignore[assignment]
    return half.eval().requires_grad_(False)
