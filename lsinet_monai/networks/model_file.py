"""Model files: a network's weights, its arguments, and its image size."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lsinet_monai.errors import InputError
from lsinet_monai.networks.encoder_weights import averaged_entries
from lsinet_monai.networks.lsinet import LSINet
from lsinet_monai.networks.released import (
    convert_with_backbone,
    is_released_state_dict,
    weights_entry,
    without_wrappers,
)
from lsinet_monai.utils.config_values import as_bool, check_paths
from lsinet_monai.utils.files import read_torch_file, write_torch_file

__all__ = ["LoadedModel", "create_network", "load_checkpoint", "save_checkpoint", "save_model"]

logger = logging.getLogger(__name__)

RELEASED_IMAGE_SIZE = 352


class LoadedModel(NamedTuple):
    """A network as a model file describes it."""

    network: LSINet
    """In evaluation mode."""
    image_size: int | list[int]
    """The size to which frames are resized: a side, or [height, width]."""


def save_model(network: LSINet, path: str | Path, image_size: int | list[int]) -> None:
    """Write a model file, which appears complete or not at all.

    The file holds the weights under ``model``, the network's arguments under ``network``, and ``image_size``. The
    arguments have the mean and standard deviation of the backbone's frames, unless they are ImageNet's.

    Args:
        network: the network.
        path: the file.
        image_size: the size to which frames are resized: a side, or [height, width].

    Raises:
        InputError: the network comes from :func:`~lsinet_monai.networks.fuse_norms`.
        OSError: the file cannot be written.
    """
    if network.fused_from is not None:
        raise InputError("a network from fuse_norms cannot be saved as a model file: save the one it was made from")
    content = {"model": network.state_dict(), "network": network.config, "image_size": image_size}
    write_torch_file(content, path, durable=True)


def save_checkpoint(path: str | Path, network: LSINet, image_size: int | list[int]) -> None:
    """Call :func:`save_model`, under its earlier name and with its earlier order of arguments."""
    save_model(network, path, image_size)


def create_network(
    backbone: str = "pvt_v2_b5",
    pretrained: bool = False,
    encoder_weights: str | Path | None = None,
    drop_path_rate: float = 0.3,
    checkpoint: str | Path | None = None,
    channels_last: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    mask_embedding: bool = False,
) -> LSINet:
    """Build a network to train, from its backbone's weights or from a whole model to fine-tune.

    Args:
        backbone: see :class:`LSINet`.
        pretrained: see :class:`LSINet`.
        encoder_weights: see :class:`LSINet`.
        drop_path_rate: see :class:`LSINet`.
        checkpoint: a model file to start from, of this package or of the authors' program. It describes its network,
            so all other arguments but ``mask_embedding`` are ignored.
        channels_last: keep the backbone's weights, and so its features, in this memory format, in which many backbones
            are faster. A network from a model file always has it.
        mean: see :class:`LSINet`.
        std: see :class:`LSINet`.
        mask_embedding: see :class:`LSINet` and :func:`load_checkpoint`.

    Raises:
        InputError: see :class:`LSINet` and :func:`load_checkpoint`.
    """
    if checkpoint is not None:
        network = load_checkpoint(checkpoint, mask_embedding=mask_embedding).network
        if network.prompt_head is not None:
            network.prompt_head.requires_grad_(False)  # no loss of this training is about prompts
        return network
    is_channels_last = as_bool(channels_last, "channels_last")
    network = LSINet(
        backbone, as_bool(pretrained, "pretrained"), encoder_weights, drop_path_rate, mean, std, mask_embedding
    )
    if is_channels_last:
        network.encoder.backbone.to(memory_format=torch.channels_last)
    return network


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu", mask_embedding: bool = False) -> LoadedModel:
    """Build the network that a model file describes, and load its weights.

    Args:
        path: a model file of this package or of the authors' program.
        device: the device to put the network on.
        mask_embedding: give a network that has no mask embedding a new one, to train it, and log that. A file that has
            one keeps it in either case.

    Raises:
        InputError: the file is missing, cannot be read as weights, or is not a complete LSI-Net model. The message
            names missing, unexpected and mis-shaped entries.
    """
    check_paths(checkpoint=path)
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"checkpoint={str(path)!r} is not a file: train a model first, or give a model file of this package or of "
            "the authors' program"
        )
    try:
        content = read_torch_file(path)
    except InputError as error:
        raise InputError(
            f"checkpoint={str(path)!r} cannot be read as a file of weights ({error}): give a model file of this "
            "package or of the authors' program"
        ) from error
    try:
        if is_released_state_dict(content):
            backbone, state = convert_with_backbone(content)
            network = LSINet(backbone)
            network.load_state_dict(state)
            loaded = LoadedModel(_ready(network, device), RELEASED_IMAGE_SIZE)
        else:
            loaded = _load_own(content, device)
    except InputError as error:
        raise InputError(f"checkpoint={str(path)!r}: {error}") from error
    if averaged := averaged_entries(content):
        taken = weights_entry(content)
        logger.warning(
            "'%s': the weights under '%s' are taken; it has averaged ones too, under '%s': to take these, save a copy "
            "of the file in which they are under '%s'", path, taken, averaged[0], taken,
        )  # fmt: skip
    if as_bool(mask_embedding, "mask_embedding") and loaded.network.mask_embedding is None:
        loaded.network.add_mask_embedding()
        logger.info("'%s' has no mask embedding: it gets a new one, which starts at zero", path)
    return loaded


def _load_own(content: Any, device: str | torch.device) -> LoadedModel:
    keys = ("model", "network", "image_size")
    if not isinstance(content, Mapping) or not all(key in content for key in keys):
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(
            f"neither a model file of this package (with {', '.join(keys)}) nor of the authors' program; "
            f"it holds: {found}. Give the model.pt of a training, or save the network with "
            "lsinet_monai.networks.save_model"
        )
    try:
        network = LSINet(**content["network"])
        weights = content["model"]
        network.load_state_dict(without_wrappers(weights) if isinstance(weights, Mapping) else weights)
    except (RuntimeError, TypeError) as error:
        raise InputError("its weights do not fit its network: " + " ".join(str(error).split())) from error
    return LoadedModel(_ready(network, device), content["image_size"])


def _ready(network: LSINet, device: str | torch.device) -> LSINet:
    # On CPUs the convolutions of all backbones we tried are faster in channels_last. The last digits of the features
    # differ from those in the default format; this can decide a near-tie among the 20 best elements of the memory.
    network.encoder.backbone.to(memory_format=torch.channels_last)
    return network.to(device).eval()
