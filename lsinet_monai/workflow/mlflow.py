"""Adapt MONAI's ``--tracking mlflow`` to the trainings of this package."""

from __future__ import annotations

import os
import re
from typing import Any

from monai.bundle import ConfigParser

from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.workflow.call import Call

__all__ = ["adapt_tracking"]

_OF_MONAI = "$monai.handlers.from_engine(['loss'], first=True)"
"""What MONAI logs of a step. It takes the list of a decollated batch, and fails for a dictionary."""

_CURVES = "$lambda output: output['curves']"
"""The numbers that TensorBoard shows of a step, see :class:`lsinet_monai.handlers.TrainingLosses`."""


def adapt_tracking(call: Call) -> None:
    """Let MONAI's ``MLFlowHandler`` log the curves of a training, and find the config that MONAI has recorded.

    Raises:
        InputError: MLflow is not installed, or MONAI has recorded the config in another folder than ``output_dir``.
    """
    parser = call.parser
    for section in ("train::handlers", "validate::handlers", "handlers"):
        for number, handler in enumerate(parser.get(section, None) or []):
            if isinstance(handler, dict) and handler.get("_target_") == "MLFlowHandler":
                require_extra("mlflow", "tracking")
                if handler.get("output_transform") == _OF_MONAI:
                    _set(parser, f"{section}::{number}", "output_transform", _CURVES)
    # MONAI appends the end of an expression to output_dir, which is plain text in these configs.
    recorded = re.fullmatch(r"([^$@].*) \+ '/(config_\w+\.json)'", str(parser.get("save_execute_config", "")))
    if recorded is not None:
        folder, name = recorded.groups()
        if parser.get("output_dir") != folder:
            raise InputError(
                f"--tracking has written to '{folder}', which is not output_dir: write output_dir without ~ and #"
            )
        _set(parser, "", "save_execute_config", os.path.join(folder, name))


def _set(parser: ConfigParser, section: str, name: str, value: Any) -> None:
    parser[section][name] = value
    parser.ref_resolver.items[f"{section}::{name}".lstrip(":")].update_config(value)
