"""The settings of inference and evaluation: record them, and accept the keys of earlier versions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.utils.config_values import as_bool
from lsinet_monai.utils.shipped_model import model_hash
from lsinet_monai.writers.outputs import STACKS, Outputs

__all__ = ["all_exports", "check_exported", "has_prompt_head", "record_settings"]

logger = logging.getLogger(__name__)


def all_exports(
    exports: str | Sequence[str],
    write_csv: Any = None,
    write_coco: Any = None,
    write_cvat: Any = None,
    write_stack: str | None = None,
) -> list[str]:
    """Join ``exports`` with the keys of earlier versions, one for each export, and log their replacement.

    Args:
        exports: names of :data:`~lsinet_monai.writers.EXPORTS`, as a list or as text with commas.
        write_csv: whether to write a table of the frames; None if the key is not given.
        write_coco: whether to write COCO JSON.
        write_cvat: whether to write CVAT's XML for video.
        write_stack: "nifti" or "nrrd".

    Raises:
        InputError: an old key has a value that it does not take.
    """
    found = exports.replace(",", " ").split() if isinstance(exports, str) else list(exports)
    given = {"csv": write_csv, "coco": write_coco, "cvat": write_cvat}
    given = {name: value for name, value in given.items() if value is not None}
    if write_stack not in (None, *STACKS):
        raise InputError(f"write_stack={write_stack!r} is neither {' nor '.join(STACKS)}")
    found += [name for name, value in given.items() if as_bool(value, f"write_{name}")]
    if write_stack is not None:
        found.append(write_stack)
    old_keys = [f"write_{name}" for name in given] + ["write_stack"] * (write_stack is not None)
    if old_keys:
        wanted = f"give --exports {','.join(dict.fromkeys(found))}" if found else "leave them out"
        logger.warning("%s: 'exports' replaces these keys, %s", ", ".join(old_keys), wanted)
    return found


def record_settings(
    checkpoint: str | Path,
    image_size: int | Sequence[int],
    inferer: SequentialVideoInferer,
    outputs: Outputs | None = None,
    crop_field: Any = False,
    amp: Any = False,
    **others: Any,
) -> dict[str, Any]:
    """Collect the settings that shape the results. A resumed run needs the same, and summaries show them.

    Args:
        checkpoint: the model file.
        image_size: side, or height and width, of the network's input in pixels.
        inferer: segments the clips.
        outputs: the results that are written; None for an evaluation, which writes scores only.
        crop_field: whether frames are cropped to the field of view.
        amp: whether the evaluator computes in mixed precision, in addition to the inferer.
        others: further settings, by the names of config keys.

    Returns:
        values by the names of config keys, and ``model_sha256``, see
        :func:`lsinet_monai.utils.shipped_model.model_hash`.
    """
    return {
        "checkpoint": str(checkpoint),
        "model_sha256": model_hash(checkpoint),
        "image_size": image_size,
        **inferer.settings,
        "amp": bool(amp),
        "crop_field": as_bool(crop_field, "crop_field"),
        **(asdict(outputs) if outputs else {}),
        **others,
    }


def has_prompt_head(network: nn.Module) -> bool:
    """Whether a network has a prompt head, which can refine masks."""
    return getattr(network, "prompt_head", None) is not None


_EXPORTED = {
    "adjacent": "previous",
    "forgetting": "usage",
    "amp_dtype": None,
    "detect_cuts": False,
    "smoothing": 0,
    "refine": False,
}


def check_exported(**settings: Any) -> None:
    """Check the settings of inference that an exported step fixes.

    Args:
        settings: the values of config keys by their names.

    Raises:
        InputError: the exported step has another value.
    """
    for name, value in settings.items():
        if value != _EXPORTED[name]:
            raise InputError(f"{name}={value!r}: exports support only {_EXPORTED[name]!r}; leave {name} out")
