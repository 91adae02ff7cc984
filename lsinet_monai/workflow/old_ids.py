"""Ids of the configs of earlier versions: refuse them, and name the new ones."""

from __future__ import annotations

import sys
from types import FrameType

from monai.bundle import ConfigParser

from lsinet_monai.errors import InputError

__all__ = ["OLD_IDS", "refuse_old_ids"]

_NOT_NEEDED = "leave it out, because the objects of the config check and record their values themselves"

OLD_IDS = {
    "shares": "override train_clips and val_clips, or split",
    "train#cache": "override cache",
    "train#checkpoint": "override train#state",
    "train#preprocessing": "override transforms, or train#dataset#transform",
    "train#reports": "override train#steps or train#handlers",
    "train#sampler": "override sampler",
    "validate#dataloader": "override validate#dataset",
    "validate#reports": "override validate#handlers",
    "validate#save_model": "override save_model",
    "dataloader": "override dataset",
    "remaining": "override remaining_clips",
    "share": "override rank_clips",
    "restart": "give overwrite or resume",
    "numbers": _NOT_NEEDED,
    "options": _NOT_NEEDED,
    "paths": _NOT_NEEDED,
}
"""Ids that the shipped configs no longer have, and what to do in their place."""


def refuse_old_ids() -> None:
    """Refuse a config in which a command line or an overlay sets an id of an earlier version.

    MONAI adds such an id to the config, where nothing refers to it, so the override would have no effect. Called in an
    expression of a config.

    Raises:
        InputError: the config has one of :data:`OLD_IDS`.
    """
    parser = _parser_at_work(sys._getframe())
    if parser is None:
        return
    for old, advice in OLD_IDS.items():
        if old in parser:
            raise InputError(f"{old} is an id of an earlier version, and has no effect: {advice}")


def _parser_at_work(frame: FrameType | None) -> ConfigParser | None:
    """Find the parser that evaluates an expression among its callers. MONAI does not pass it to the expression."""
    while frame is not None:
        found = frame.f_locals.get("self")
        if isinstance(found, ConfigParser):
            return found
        frame = frame.f_back
    return None
