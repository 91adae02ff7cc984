"""The settings of training: read from a config or the command line, and recorded in the training's state."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist

from lsinet_monai.data import Clip, describe_clips
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.options import as_bool
from lsinet_monai.workflow.checks import NUMBERS, check_numbers

__all__ = ["read_settings", "record_settings"]

_SWITCHES = {
    "augment",
    "balance_clips",
    "channels_last",
    "compile",
    "every_frame",
    "overwrite",
    "pretrained",
    "resume",
    "sync_batchnorm",
    "weighted_bce",
}


def read_settings(**settings: Any) -> SimpleNamespace:
    """Check numbers, and read switches, which the command line passes as text.

    The class that uses it checks any other setting, such as ``amp_dtype``.

    Args:
        settings: the values of config keys by their names.

    Returns:
        The settings as attributes.

    Raises:
        InputError: a key does not take its value.
    """
    switches = {name: as_bool(value, name) for name, value in settings.items() if name in _SWITCHES}
    check_numbers(**{name: value for name, value in settings.items() if name in NUMBERS})
    return SimpleNamespace(**settings | switches)


def record_settings(
    settings: SimpleNamespace, network: LSINet, train_clips: Sequence[Clip], val_clips: Sequence[Clip]
) -> dict[str, Any]:
    """Collect all settings from which the course of a training follows. A resumed training needs the same.

    Args:
        settings: as :func:`read_settings` returns them.
        network: the network that is trained.
        train_clips: the clips to train on.
        val_clips: the clips to validate on, of all processes.

    Returns:
        Values by the names of config keys. ``network`` has the network's arguments.
    """
    return {
        **vars(settings),
        "network": network.config,
        "processes": idist.get_world_size(),
        "training_clips": describe_clips(train_clips),
        "validation_clips": describe_clips(val_clips),
    }
