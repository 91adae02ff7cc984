"""What a training records of its objects, so that it resumes with the same ones only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.engines import Evaluator
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, Transform
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from lsinet_monai.transforms import RandColourd, RandFlipClipd, RandMaskNoised, RandRotateClipd

__all__ = ["differences", "settings_of"]

Setting = tuple[str, str, Any]
"""A name, the name with its object in front, for where the first is taken, and a value."""

_AUGMENTATIONS = (RandFlipClipd, RandRotateClipd, RandColourd, RandMaskNoised)
"""What the key ``augment`` switches off."""

_WIRING = {"keys", "mask_keys"}
"""Attributes of a transform that say which parts of a sample it takes."""

_OF_THE_OPTIMIZER = {"base_lrs", "last_epoch", "optimizer"}
"""Attributes of a scheduler that it has from its optimizer."""


def settings_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the settings that the objects of a training have, whatever config or code made them.

    A setting that is a key of ``train.json`` has the key's name, such as ``learning_rate``. Any other has the name of
    its object in front, such as ``optimizer#betas``; so has a second setting of the same name, such as
    ``validate#inferer#amp_dtype``. ``optimizer#_target_`` is the name of the object's class.

    Args:
        parts: by name, objects of this package with the property ``settings``; networks, losses, optimizers,
            schedulers, transforms, data loaders and evaluators; numbers and text; lists and dictionaries of all these.
            Anything else has no settings.

    Returns:
        numbers, text, None, and lists of them, by name.
    """
    found: dict[str, Any] = {}
    for role, part in parts.items():
        for name, full_name, value in _describe(role, part):
            plain = _plain(value)
            if plain is not _NOT_PLAIN:
                found[full_name if name in found else name] = plain
    return found


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compare the settings of a training with those that it had before.

    A key of the config that one of the two does not have was off. Of an object's attributes, such as
    ``optimizer#betas``, those are compared that both have, because another class of objects has other attributes.

    Args:
        was: the earlier settings; a version of this package that recorded config keys may have written them.
        now: the present ones.

    Returns:
        for each setting that differs its name, and both values.
    """
    not_compared = set()
    if "network" in was:  # an earlier version, which put the network's arguments there
        was = {**was, **was["network"]}
        # A model file decides about channels_last, and that version recorded the key all the same.
        not_compared = {"network", "channels_last"}
    names = [name for name in {**was, **now} if "#" not in name or (name in was and name in now)]
    names.sort(key=lambda name: "#" in name)  # what follows from a key of the config comes after it
    return [
        f"{name}={now.get(name)!r}, which was {was.get(name)!r}"
        for name in names
        if name not in not_compared and _comparable(now.get(name)) != _comparable(was.get(name))
    ]


def _describe(role: str, part: Any) -> Iterator[Setting]:
    if isinstance(part, Mapping):
        for name, item in part.items():
            yield from _describe(f"{role}#{name}", item)
    elif isinstance(part, Compose):
        yield from _describe(role, part.transforms)
    elif isinstance(part, list | tuple) and any(isinstance(item, Transform) for item in part):
        yield "augment", f"{role}#augment", any(isinstance(item, _AUGMENTATIONS) for item in part)
        yield from _attribute(role, "_target_", [type(item).__name__ for item in part])
        for item in part:
            yield from _of_object(type(item).__name__, item)
    elif isinstance(part, list | tuple) and not _is_plain(part):
        for item in part:
            yield from _of_object(type(item).__name__, item)
    elif _is_plain(part):
        yield role, role, part
    else:
        yield from _attribute(role, "_target_", type(part).__name__)
        yield from _of_object(role, part)


def _of_object(role: str, part: Any) -> Iterator[Setting]:
    """The settings of one object, without its class."""
    if hasattr(part, "settings"):
        for name, value in part.settings.items():
            yield name, f"{role}#{name}", value
    elif isinstance(part, Optimizer):
        yield from _of_optimizer(role, part)
    elif isinstance(part, LRScheduler):
        yield from _of_scheduler(role, part)
    elif isinstance(part, DataLoader):
        yield "batch_size", f"{role}#batch_size", part.batch_size and part.batch_size * idist.get_world_size()
        yield from _describe("sampler", part.sampler)
        yield from _describe("dataset", part.dataset)
        yield from _describe("transforms", getattr(part.dataset, "transform", None))
    elif isinstance(part, Transform):
        for name, value in _public(part):
            if name in _WIRING:
                continue
            inner = isinstance(value, Transform)
            yield from _of_object(f"{role}#{name}", value) if inner else _attribute(role, name, value)
    elif isinstance(part, LrScheduleHandler):
        yield from _attribute(role, "epoch_level", part.epoch_level)
    elif isinstance(part, Evaluator):
        yield from _attribute(role, "amp", bool(part.amp))


def _attribute(role: str, name: str, value: Any) -> Iterator[Setting]:
    yield f"{role}#{name}", f"{role}#{name}", value


def _of_optimizer(role: str, optimizer: Optimizer) -> Iterator[Setting]:
    for name, value in optimizer.defaults.items():
        yield "learning_rate" if name == "lr" else f"{role}#{name}", f"{role}#{name}", value
    for number, group in enumerate(optimizer.param_groups):
        own = {**group, "lr": group.get("initial_lr", group["lr"])}  # a scheduler may have changed the rate already
        for name, value in own.items():
            if name in optimizer.defaults and value != optimizer.defaults[name]:
                yield from _attribute(f"{role}#param_groups#{number}", name, value)


def _of_scheduler(role: str, scheduler: LRScheduler) -> Iterator[Setting]:
    for name, value in _public(scheduler):
        if name not in _OF_THE_OPTIMIZER:
            yield "learning_rate_step" if name == "step_size" else f"{role}#{name}", f"{role}#{name}", value
    yield from _attribute(role, "milestones", getattr(scheduler, "_milestones", None))
    for number, part in enumerate(getattr(scheduler, "_schedulers", ())):
        yield from _describe(f"{role}#{number}", part)


def _public(part: Any) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in vars(part).items() if not name.startswith("_"))


_NOT_PLAIN = object()


def _plain(value: Any) -> Any:
    """The value as numbers, text, None and lists of them, which ``torch.load(weights_only=True)`` reads."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path | torch.dtype | torch.device):
        return str(value)
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return _NOT_PLAIN if any(item is _NOT_PLAIN for item in items) else items
    return value if value is None or type(value) in (bool, int, float, str) else _NOT_PLAIN


def _is_plain(value: Any) -> bool:
    return _plain(value) is not _NOT_PLAIN


def _comparable(value: Any) -> Any:
    """Give equal settings one form: None, False and 0 are equal, and so are 352 and [352, 352]."""
    if isinstance(value, list | tuple):
        items = [_comparable(item) for item in value]
        return items[0] if items and all(item == items[0] for item in items) else items
    return value or None
