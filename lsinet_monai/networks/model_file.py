"""Model files: a network's weights together with what it takes to build it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import read_torch_file, write_torch_file

from .lsinet import LSINet
from .released import convert_with_backbone, is_released_state_dict

__all__ = ["Checkpoint", "create_network", "load_checkpoint", "save_checkpoint"]

RELEASED_IMAGE_SIZE = 352


class Checkpoint(NamedTuple):
    """A network as a model file describes it."""

    network: LSINet
    """with its weights, in evaluation mode."""
    image_size: int | list[int]
    """what frames are resized to: a side, or [height, width]."""


def save_checkpoint(path: str | Path, network: LSINet, image_size: int | list[int]) -> None:
    """Write a model file, whole or not at all: weights under ``model``, the network's arguments under ``network``."""
    content = {"model": network.state_dict(), "network": network.config, "image_size": image_size}
    write_torch_file(content, path, durable=True)


def create_network(
    backbone: str = "pvt_v2_b5",
    pretrained: bool = False,
    encoder_weights: str | Path | None = None,
    drop_path_rate: float = 0.3,
    checkpoint: str | Path | None = None,
    channels_last: bool = False,
) -> LSINet:
    """Build a network to train: from its backbone's weights, or from a whole model to fine-tune.

    Args:
        backbone: see :class:`LSINet`, as the three after it.
        pretrained: as there.
        encoder_weights: as there.
        drop_path_rate: as there.
        checkpoint: a model file, ours or the authors', to start from. It says which network it holds, so that the four
            arguments before do not count.
        channels_last: keep the backbone's weights, and so its features, in this memory format, which many backbones
            are faster in. A network from a checkpoint has it anyway.

    Raises:
        InputError: see :class:`LSINet` and :func:`load_checkpoint`.
    """
    if checkpoint is not None:
        return load_checkpoint(checkpoint).network
    network = LSINet(backbone, pretrained, encoder_weights, drop_path_rate)
    if channels_last:
        network.encoder.backbone.to(memory_format=torch.channels_last)
    return network


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Build the network that a model file describes, ours or the authors', and load its weights.

    Raises:
        InputError: the file is not there, cannot be read as weights, or is not a whole model of LSI-Net; missing,
            unexpected and mis-shaped entries are named.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"checkpoint={str(path)!r} is not a file: train a model first, or give one of ours or the authors'"
        )
    try:
        content = read_torch_file(path)
    except InputError as error:
        raise InputError(
            f"checkpoint={str(path)!r} cannot be read as a file of weights ({error}): give a model file of ours or the "
            "authors'"
        ) from error
    try:
        if is_released_state_dict(content):
            backbone, state = convert_with_backbone(content)
            network = LSINet(backbone)
            network.load_state_dict(state)
            return Checkpoint(_ready(network, device), RELEASED_IMAGE_SIZE)
        return _load_own(content, device)
    except InputError as error:
        raise InputError(f"checkpoint={str(path)!r}: {error}") from error


def _load_own(content: Any, device: str | torch.device) -> Checkpoint:
    keys = ("model", "network", "image_size")
    if not isinstance(content, Mapping) or not all(key in content for key in keys):
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(f"neither a model file of ours (with {', '.join(keys)}) nor the authors'; it holds: {found}")
    try:
        network = LSINet(**content["network"])
        network.load_state_dict(content["model"])
    except (RuntimeError, TypeError) as error:
        raise InputError("its weights do not fit its network: " + " ".join(str(error).split())) from error
    return Checkpoint(_ready(network, device), content["image_size"])


def _ready(network: LSINet, device: str | torch.device) -> LSINet:
    # channels_last: on CPUs the backbone's convolutions are faster so, for all backbones tried. The last digits of its
    # features differ, by which a near-tie among the 20 best elements of the memory may fall the other way.
    network.encoder.backbone.to(memory_format=torch.channels_last)
    return network.to(device).eval()
