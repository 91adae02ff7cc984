"""The first step of every run of the bundle."""

from __future__ import annotations

from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.workflow.old_ids import refuse_old_ids

__all__ = ["start"]


def start() -> None:
    """Let errors that a person can act on end the run in one line, and refuse ids of earlier versions of its config.

    Raises:
        InputError: see :func:`refuse_old_ids`.
    """
    report_input_errors_in_one_line()
    refuse_old_ids()
