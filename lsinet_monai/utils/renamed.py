"""Names of earlier versions, under which users' configs and scripts may still ask for a class or a function."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["renamed"]


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module that has things under earlier names too.

    Args:
        module: the module's name.
        names: the present names by the earlier ones. The name of a thing in another module is its whole path, such as
            "lsinet_monai.masks.has_polyp".

    Returns:
        a function that returns the thing by its earlier name, and states the present name in a ``FutureWarning``, which
        Python shows by default.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, present = names[name].rpartition(".")
        place = place or module
        warnings.warn(f"{module}.{name} is {place}.{present} now", FutureWarning, stacklevel=2)
        return getattr(importlib.import_module(place), present)

    return get
