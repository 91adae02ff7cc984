"""Optional libraries. The package's extras install them, and the code that needs them imports them."""

from __future__ import annotations

import importlib
from typing import Any

from lsinet_monai.errors import InputError

__all__ = ["require_extra"]


def require_extra(module: str, extra: str) -> Any:
    """Import a module that an extra of this package installs.

    Args:
        module: its name, such as "av".
        extra: the extra, such as "video".

    Returns:
        the module.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f'{module} is not installed: pip install "lsinet_monai[{extra}]"') from error
