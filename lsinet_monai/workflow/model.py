"""The model of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import torch
from monai.utils import ensure_tuple_rep

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LoadedModel, load_checkpoint
from lsinet_monai.utils.shipped_model import describe_model

__all__ = ["load_model", "warn_of_image_size"]

logger = logging.getLogger(__name__)


def load_model(
    checkpoint: str | Path | None, device: str | torch.device = "cpu", mask_embedding: bool = False
) -> LoadedModel:
    """Load the model file of a run, and log which one it is and, for the shipped model, the terms of its use.

    Args:
        checkpoint: a model file of this package or of the authors' program.
        device: the device to put the network on.
        mask_embedding: see :func:`lsinet_monai.networks.load_checkpoint`.

    Raises:
        InputError: see :func:`lsinet_monai.networks.load_checkpoint`; or ``checkpoint`` is None.
    """
    if checkpoint is None:
        raise InputError("checkpoint=None: give a model file, or leave the key out to take the bundle's")
    loaded = load_checkpoint(checkpoint, device, mask_embedding)
    if idist.get_rank() == 0:
        logger.info("model: %s", describe_model(checkpoint))
    return loaded


def warn_of_image_size(image_size: int | Sequence[int], of_model: int | Sequence[int]) -> None:
    """Log that a model is evaluated at another size than its own, which a person may not have meant."""
    if ensure_tuple_rep(image_size, 2) != ensure_tuple_rep(of_model, 2) and idist.get_rank() == 0:
        logger.warning(
            "image_size=%s replaces the model's, %s: leave it out to get the model's scores", image_size, of_model
        )
