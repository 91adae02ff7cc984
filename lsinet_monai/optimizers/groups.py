"""Groups of a network's parameters, each with its own learning rate and weight decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from lsinet_monai.networks import LSINet

__all__ = ["parameter_groups"]


def parameter_groups(
    network: LSINet, learning_rate: float, encoder_learning_rate: float | None = None, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Divide a network's parameters into groups for an optimiser.

    A pretrained backbone needs smaller steps than the blocks that start from random weights. Normalisation layers,
    biases and other vectors get no weight decay.

    Args:
        network: the network to train. Parameters that need no gradients are left out.
        learning_rate: the learning rate of all blocks but the backbone.
        encoder_learning_rate: the learning rate of the backbone; ``learning_rate`` if not given.
        weight_decay: the weight decay of matrices and kernels.

    Returns:
        up to four groups; the first are not the backbone's.
    """
    backbone = {id(parameter) for parameter in network.encoder.backbone.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in backbone, parameter.ndim <= 1), []).append(parameter)
    rates = {False: learning_rate, True: learning_rate if encoder_learning_rate is None else encoder_learning_rate}
    return [
        {"params": groups[key], "lr": rates[key[0]], "weight_decay": 0.0 if key[1] else weight_decay}
        for key in sorted(groups)
    ]
