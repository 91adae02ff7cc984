"""Ids of the configs of earlier versions: refuse them, and name the new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.workflow.call import find_call

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
    call = find_call()
    for old, advice in OLD_IDS.items():
        if call is not None and _has(call.parser.get(), old):
            raise InputError(f"{old} is an id of an earlier version, and has no effect: {advice}")


def _has(config: Any, config_id: str) -> bool:
    """Whether a config has an id. ``in`` would take long: for an id that is not there MONAI looks for similar ones."""
    for part in config_id.split("#"):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True
