"""Values of config keys, as a config or the command line gives them: switches, ranges, numbers, devices, paths.

A class or function of this package that takes such a value checks it with these functions, under the key's name.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch

from lsinet_monai.errors import InputError

__all__ = ["NUMBERS", "as_bool", "as_slice", "check_choice", "check_device", "check_numbers", "check_paths"]


def as_bool(value: Any, name: str) -> bool:
    """Read a switch. The command line passes ``--pretrained false`` as the text "false".

    Args:
        value: true or false, or their text in any case.
        name: the option's name, for the error.

    Raises:
        InputError: the value is neither true nor false.
    """
    text = str(value).lower()
    if text not in ("true", "false"):
        raise InputError(f"{name}={value!r} is neither true nor false")
    return text == "true"


def as_slice(value: Any, name: str) -> slice:
    """Read a range of frames, ``A:B``, from A up to but without B.

    Args:
        value: the text; A or B may be missing. None selects everything.
        name: the option's name, for the error.

    Raises:
        InputError: the value is not a range, or an empty one.
    """
    found = re.fullmatch(r"(\d*):(\d*)", ":" if value is None else str(value))
    if found is None:
        raise InputError(f"{name}={value!r} is not A:B, two whole numbers")
    first, end = (int(text) if text else None for text in found.groups())
    if end is not None and end <= (first or 0):
        raise InputError(f"{name}={value!r} is empty: A must be below B")
    return slice(first, end)


def check_choice(choices: tuple[Any, ...], **values: Any) -> None:
    """Check values that must be one of a few.

    Args:
        choices: what is allowed; None reads as "null".
        values: the values of config keys by their names.

    Raises:
        InputError: a value is not one of the choices.
    """
    for name, value in values.items():
        if value not in choices:
            words = ["null" if choice is None else repr(choice) for choice in choices]
            raise InputError(f"{name}={value!r} must be {', '.join(words[:-1])} or {words[-1]}")


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


def check_paths(**paths: Any) -> None:
    """Reject paths that the command line parsed as numbers, such as 20240101.

    Args:
        paths: the values of config keys by their names; None is a path that is not given.

    Raises:
        InputError: a value is not text.
    """
    for name, path in paths.items():
        if not (path is None or isinstance(path, str | os.PathLike)):
            raise InputError(f"{name}={path!r} reads as a number, not as a path: write ./ before the name")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _each(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _is_size(value: Any) -> bool:
    """Whether it is a side, or a height and a width, of at least 64 pixels."""
    # Not monai.utils.ensure_tuple_rep, which also takes text and makes a pair of it.
    sides = list(value) if isinstance(value, (list, tuple)) else [value, value]
    return len(sides) == 2 and all(_is_whole(side, 64) for side in sides)


_Rule = tuple[str, Callable[[Any], bool]]

_POSITIVE: _Rule = ("a number above 0", lambda value: _is_number(value) and value > 0)
_FRACTION: _Rule = ("a number of 0 or more and below 1", lambda value: _is_number(value) and 0 <= value < 1)
_ZERO_OR_MORE: _Rule = ("a whole number of 0 or more", lambda value: _is_whole(value, 0))
_ONE_OR_MORE: _Rule = ("a whole number of 1 or more", lambda value: _is_whole(value, 1))

NUMBERS: dict[str, _Rule] = {
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
    "num_workers": _ZERO_OR_MORE,
    "reach": _ZERO_OR_MORE,
    "threshold": ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "cache_gb": ("a number of 0 or more", lambda value: _is_number(value) and value >= 0),
    "drop_path_rate": _FRACTION,
    "smoothing": _FRACTION,
    "validation_fraction": _FRACTION,
    "learning_rate": _POSITIVE,
    "clip_gradients": _POSITIVE,
    "frames_per_second": _POSITIVE,
    "batch_size": _ONE_OR_MORE,
    "epochs_per_stage": _ONE_OR_MORE,
    "learning_rate_step": _ONE_OR_MORE,
    "max_epochs": _ONE_OR_MORE,
    "clip_frames": _ONE_OR_MORE,
    "clips_per_still": _ONE_OR_MORE,
    "loss_frames": _ONE_OR_MORE,
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
"""What :func:`check_numbers` knows: by a config key's name, the values it takes, in words and as a test."""
NUMBERS["stills_share"] = NUMBERS["negative_share"]


def check_numbers(**numbers: Any) -> None:
    """Check numbers from a config or the command line, which passes any text on.

    PyTorch and MONAI check few of them, late, and each in its own way. A run checks them before it writes anything.

    Args:
        numbers: the values of config keys by their names.

    Raises:
        InputError: the key does not take its value.
    """
    for name, value in numbers.items():
        wanted, is_right = NUMBERS[name]
        if not is_right(value):
            raise InputError(f"{name}={value!r} must be {wanted}")
    if numbers.get("val_interval", 1) > numbers.get("max_epochs", math.inf):
        raise InputError(
            f"val_interval={numbers['val_interval']} is more than max_epochs={numbers['max_epochs']}: no network would "
            "be validated, and none kept"
        )
