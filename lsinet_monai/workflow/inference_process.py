"""One process that holds an initialised network, and segments one input after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from monai.bundle import ConfigWorkflow

from lsinet_monai.errors import InputError, find_input_error
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.workflow.reruns import run_with

__all__ = ["InferenceProcess"]


class InferenceProcess:
    """The bundle's inference with a network that is loaded once, for many inputs.

    It evaluates the ``run`` of ``inference.json``, as ``monai.bundle run inference`` and each rank of ``torchrun`` do.
    So an input has the same results in all of them.

    Args:
        handlers: further handlers of its engine, each with a method ``attach``, which is called anew for each input.
        keys: values of config keys, the same for all inputs, such as ``checkpoint``.

    Raises:
        InputError: a value is not valid, or the model file cannot be read.
    """

    def __init__(self, handlers: Sequence[Any] = (), **keys: Any) -> None:
        config = shipped_folder("bundle") / "configs" / "inference.json"
        self._workflow = ConfigWorkflow(str(config), workflow_type="inference", logging_file=False, **keys)
        self._workflow.parser["handlers"] = [*self._workflow.parser["handlers"], *handlers]
        try:
            self._workflow.initialize()
        except Exception as error:
            if found := find_input_error(error):
                raise InputError(str(found)) from error
            raise

    def __call__(self, input: str | os.PathLike[str], output_dir: str | os.PathLike[str]) -> None:
        """Segment one input. After an error the process is ready for the next one.

        Args:
            input: a video, a folder of frames, or a folder of these.
            output_dir: the folder of its results, which must be empty or missing.

        Raises:
            InputError: the input cannot be read, or the disk is full.
        """
        run_with(self._workflow, input=os.fspath(input), output_dir=os.fspath(output_dir))
