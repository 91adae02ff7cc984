"""A network for inference alone, in which batch norms are parts of convolutions."""

from __future__ import annotations

import copy
import logging
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lsinet_monai.errors import InputError
from lsinet_monai.networks.lsinet import LSINet

__all__ = ["fuse_norms"]

logger = logging.getLogger(__name__)

_SIDE = 256  # of the frame on which a backbone is tried; some backbones refuse much smaller ones
_LARGEST_DIFFERENCE = 1e-4  # of the largest feature


def fuse_norms(network: LSINet) -> LSINet:
    """Copy a network for inference, with each batch norm made a part of the convolution before it.

    The copy is faster, and its logits are the network's up to rounding. It cannot be saved as a model file. A backbone
    keeps its batch norms if they do not follow its convolutions directly.

    Args:
        network: in evaluation mode.

    Returns:
        the copy, on the network's device. Its fingerprint is the network's.

    Raises:
        InputError: the network, or a part of it, is in training mode.
    """
    if any(module.training for module in network.modules()):
        raise InputError("the network, or a part of it, is in training mode: call network.eval() before fuse_norms")
    fused = copy.deepcopy(network)
    if _can_be_fused(network.encoder.backbone, network.encoder.fixed_size or (_SIDE, _SIDE)):
        _fuse(fused.encoder.backbone)
    for part in (fused.encoder.receptive_field, fused.harmonisation, fused.decoder, fused.prompt_head):
        if part is not None:
            _fuse(part)
    fused.fused_from = network.fingerprint()
    return fused.eval()


def _fuse(module: nn.Module) -> None:
    """Fuse each batch norm of a module, in place, with the convolution defined before it in the same part."""
    for part in list(module.modules()):
        for (name, conv), (norm_name, norm) in pairwise(list(part.named_children())):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if norm.num_features == conv.out_channels and norm.running_mean is not None:
                setattr(part, name, fuse_conv_bn_eval(conv, norm))
                # timm's batch norms include the activation.
                setattr(part, norm_name, getattr(norm, "act", nn.Identity()))


@torch.no_grad()
def _can_be_fused(backbone: nn.Module, size: tuple[int, int]) -> bool:
    """Whether a backbone's features stay the same, up to rounding. Tried on the CPU, because GPUs round more."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules()):
        return False
    trial = copy.deepcopy(backbone).cpu().float()
    frame = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    expected: list[Tensor] = trial(frame)
    _fuse(trial)
    pairs = zip(trial(frame), expected, strict=True)
    is_equal = all((a - b).abs().max() <= _LARGEST_DIFFERENCE * b.abs().max() for a, b in pairs)
    if not is_equal:
        logger.debug("the backbone keeps its batch norms, because they do not follow its convolutions directly")
    return is_equal
