"""What the bundle's configs need of Python: reading switches, and checking values before anything is built."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

import torch

from lsinet_monai.errors import InputError

__all__ = ["as_bool", "as_slice", "check_alone", "check_device", "check_exported", "check_numbers", "check_paths"]


def as_bool(value: Any, name: str) -> bool:
    """Read a switch: the command line hands ``--pretrained false`` on as the text "false".

    Raises:
        InputError: the value is neither true nor false.
    """
    text = str(value).lower()
    if text not in ("true", "false"):
        raise InputError(f"{name}={value!r} is neither true nor false")
    return text == "true"


def as_slice(value: Any, name: str) -> slice:
    """Read a range, ``A:B``, A up to, without, B; either may be left out, and None is all.

    Raises:
        InputError: the value is none, or an empty one.
    """
    found = re.fullmatch(r"(\d*):(\d*)", ":" if value is None else str(value))
    if found is None:
        raise InputError(f"{name}={value!r} is not A:B, two whole numbers")
    first, end = (int(text) if text else None for text in found.groups())
    if end is not None and end <= (first or 0):
        raise InputError(f"{name}={value!r} is empty: A must be below B")
    return slice(first, end)


def check_alone(sync_batchnorm: Any) -> None:
    """Refuse what only several processes have, in a config that is for one.

    Raises:
        InputError: ``sync_batchnorm`` is true.
    """
    if as_bool(sync_batchnorm, "sync_batchnorm"):
        raise InputError(
            "sync_batchnorm=true needs several processes: give bundle/configs/multi_gpu_train.json as the last config "
            "file, and start it by torchrun; or leave it out"
        )


def check_device(device: Any) -> None:
    """Find out whether PyTorch can use a device.

    Args:
        device: a ``torch.device`` or its name, such as "cpu" or "cuda:1".

    Raises:
        InputError: it is no device, or not one of this machine.
    """
    try:
        torch.empty(0, device=torch.device(device))
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"device={str(device)!r} cannot be used ({reason}): give another, such as cpu") from error


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _each(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


_Rule = tuple[str, Callable[[Any], bool]]

_POSITIVE: _Rule = ("a number above 0", lambda value: _is_number(value) and value > 0)
_SHARE: _Rule = ("a number of 0 or more and below 1", lambda value: _is_number(value) and 0 <= value < 1)
_ONE_OR_MORE: _Rule = ("a whole number of 1 or more", lambda value: _is_whole(value, 1))


def _is_size(value: Any) -> bool:
    """A side, or height and width, of at least 64 pixels."""
    sides = list(value) if isinstance(value, (list, tuple)) else [value, value]
    return len(sides) == 2 and all(_is_whole(side, 64) for side in sides)


_RULES: dict[str, _Rule] = {
    "image_size": ("a whole number of 64 or more, or two: [height, width]", _is_size),
    "read_size": (
        "a whole number of 64 or more, or two: [height, width]; or null",
        lambda value: value is None or _is_size(value),
    ),
    "max_skip": (
        "a whole number of 1 or more, or a list of them",
        lambda value: bool(_each(value)) and all(_is_whole(skip, 1) for skip in _each(value)),
    ),
    "seed": ("a whole number from 0 to 4294967295", lambda value: _is_whole(value, 0) and value < 2**32),
    "num_workers": ("a whole number of 0 or more", lambda value: _is_whole(value, 0)),
    "threshold": ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "cache_gb": ("a number of 0 or more", lambda value: _is_number(value) and value >= 0),
    "drop_path_rate": _SHARE,
    "validation_fraction": _SHARE,
    "learning_rate": _POSITIVE,
    "clip_gradients": _POSITIVE,
    "batch_size": _ONE_OR_MORE,
    "learning_rate_step": _ONE_OR_MORE,
    "max_epochs": _ONE_OR_MORE,
    "memory_frames": _ONE_OR_MORE,
    "memory_interval": _ONE_OR_MORE,
    "encode_batch": _ONE_OR_MORE,
    "piece_frames": _ONE_OR_MORE,
    "save_frames": _ONE_OR_MORE,
    "val_interval": _ONE_OR_MORE,
    "save_steps": ("a whole number of 1 or more, or null", lambda value: value is None or _is_whole(value, 1)),
    "negative_share": (
        "a number above 0 and below 1, or null",
        lambda value: value is None or (_is_number(value) and 0 < value < 1),
    ),
}


def check_numbers(**numbers: Any) -> None:
    """Check numbers that came from a config or the command line, which hands on any text as it is.

    PyTorch and MONAI check few of them, late, and each in its own way; a run should not make its output folder first.

    Args:
        numbers: the values of config keys by their names.

    Raises:
        InputError: a value is not what its key takes.
    """
    for name, value in numbers.items():
        wanted, is_right = _RULES[name]
        if not is_right(value):
            raise InputError(f"{name}={value!r} must be {wanted}")
    if numbers.get("val_interval", 1) > numbers.get("max_epochs", math.inf):
        raise InputError(
            f"val_interval={numbers['val_interval']} is more than max_epochs={numbers['max_epochs']}: no network would "
            "be validated, and none kept"
        )


def check_paths(**paths: Any) -> None:
    """Check paths that came from the command line, where one that looks like a number, a date maybe, becomes one.

    Args:
        paths: the values of config keys by their names; None where there is none.

    Raises:
        InputError: a value is no text.
    """
    for name, path in paths.items():
        if not (path is None or isinstance(path, str | os.PathLike)):
            raise InputError(f"{name}={path!r} reads as a number, not as a path: write ./ before the name")


_EXPORTED = {"adjacent": "previous", "forgetting": "usage", "amp_dtype": None}


def check_exported(**settings: Any) -> None:
    """Check settings of inference that an exported step has one value of, whatever the config says.

    Args:
        settings: the values of config keys by their names.

    Raises:
        InputError: a value is another one.
    """
    for name, value in settings.items():
        if value != _EXPORTED[name]:
            raise InputError(f"{name}={value!r}: an export has {_EXPORTED[name]!r} alone, so leave {name} out")
