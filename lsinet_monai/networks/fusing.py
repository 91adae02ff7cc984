"""A network for inference alone, in which batch norms are parts of convolutions."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lsinet_monai.networks.lsinet import LSINet

__all__ = ["fuse_norms"]

_SIDE = 64  # of the frame on which two backbones are compared
_LARGEST_DIFFERENCE = 1e-4  # of the largest feature


def fuse_norms(network: LSINet) -> LSINet:
    """Copy a network for inference, with each batch norm made a part of the convolution before it.

    The copy is faster, and its logits are the network's up to rounding. Do not train it, and do not save it as a model
    file. A backbone keeps its batch norms if they do not follow its convolutions directly.

    Args:
        network: in evaluation mode.

    Returns:
        the copy, on the network's device. Its fingerprint is the network's.
    """
    fused = copy.deepcopy(network)
    backbone = _fuse(copy.deepcopy(network.encoder.backbone))
    if _are_equal(backbone, network.encoder.backbone, network.encoder.fixed_size or (_SIDE, _SIDE)):
        fused.encoder.backbone = backbone
    for part in (fused.encoder.receptive_field, fused.harmonisation, fused.decoder):
        _fuse(part)
    fused.known_fingerprint = network.fingerprint()
    return fused


def _fuse(module: nn.Module) -> nn.Module:
    """Fuse each batch norm of a module, in place, with the convolution defined before it in the same part."""
    for part in list(module.modules()):
        for (name, conv), (norm_name, norm) in pairwise(list(part.named_children())):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if norm.num_features == conv.out_channels and norm.running_mean is not None:
                setattr(part, name, fuse_conv_bn_eval(conv, norm))
                # timm's batch norms include the activation.
                setattr(part, norm_name, getattr(norm, "act", nn.Identity()))
    return module


@torch.no_grad()
def _are_equal(fused: nn.Module, backbone: nn.Module, size: tuple[int, int]) -> bool:
    """Whether two backbones have the same features for a frame, up to rounding."""
    parameter = next(backbone.parameters())
    with torch.random.fork_rng([parameter.device] if parameter.is_cuda else []):
        frame = torch.randn(1, 3, *size, device=parameter.device, dtype=parameter.dtype)
    pairs: list[tuple[Tensor, Tensor]] = list(zip(fused(frame), backbone(frame), strict=True))
    return all((a - b).abs().max() <= _LARGEST_DIFFERENCE * b.abs().max() for a, b in pairs)
