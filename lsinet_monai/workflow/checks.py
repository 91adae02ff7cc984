"""Checks that a run makes of its config before anything is built; the objects check their own values."""

from __future__ import annotations

from typing import Any

import torch

from lsinet_monai.errors import InputError

__all__ = ["check_device", "check_exported"]


def check_device(device: Any) -> None:
    """Check whether PyTorch can use a device.

    Args:
        device: a ``torch.device`` or its name, such as "cpu" or "cuda:1".

    Raises:
        InputError: it is not a device of this machine.
    """
    try:
        torch.empty(0, device=torch.device(device))
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"device={str(device)!r} cannot be used ({reason}): give another, such as cpu") from error


_EXPORTED = {"adjacent": "previous", "forgetting": "usage", "amp_dtype": None}


def check_exported(**settings: Any) -> None:
    """Check the settings of inference that an exported step fixes.

    Args:
        settings: the values of config keys by their names.

    Raises:
        InputError: the exported step has another value.
    """
    for name, value in settings.items():
        if value != _EXPORTED[name]:
            raise InputError(f"{name}={value!r}: an export has {_EXPORTED[name]!r} alone, so leave {name} out")
