"""Half precision: a network whose encoder computes in it on a GPU, and a warning of CPUs that are slow in it."""

from __future__ import annotations

import copy
import logging
import platform
from functools import cache

import torch
from torch import Tensor, nn

from lsinet_monai.networks.encoder import Encoder
from lsinet_monai.networks.lsinet import LSINet

__all__ = ["HalfEncoder", "halve_encoder", "warn_of_slow_bfloat16"]

logger = logging.getLogger(__name__)


class HalfEncoder(nn.Module):
    """An encoder with weights in half precision. It takes and gives the type of its frames, as :class:`Encoder` does.

    Autocast would convert every weight again for every frame, and compute layer norms in float32. Batch norms keep
    weights and statistics in float32, which costs no time.

    Args:
        encoder: its weights and buffers are converted in place.
        dtype: ``torch.bfloat16`` or ``torch.float16``.
    """

    sees_single_frames = True  # in evaluation mode

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

    def forward(self, frames: Tensor, amp_dtype: torch.dtype | None = None, batches: int = 1) -> tuple[Tensor, ...]:
        """Encode frames: (B, 3, H, W) -> three of (B, 32, H / stride, W / stride). Only ``frames`` has an effect."""
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


@cache
def warn_of_slow_bfloat16(amp_dtype: str | None, device_type: str) -> None:
    """Warn, once in a process, if this is a CPU that has no instructions for bfloat16.

    Args:
        amp_dtype: the type to compute in; only "bfloat16" is warned of.
        device_type: "cpu", "cuda", ...
    """
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    if amp_dtype != "bfloat16" or device_type != "cpu" or not is_x86:
        return
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        logger.warning(
            "amp_dtype='bfloat16' is up to ten times slower than float32 on this CPU, which has no instructions for it:"
            " leave amp_dtype out"
        )
