"""The first step of every run of the bundle."""

from __future__ import annotations

from lsinet_monai.errors import InputError
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.workflow.call import Call, find_call
from lsinet_monai.workflow.config_order import check_order
from lsinet_monai.workflow.given_values import read_given_values
from lsinet_monai.workflow.mlflow import adapt_tracking
from lsinet_monai.workflow.old_ids import refuse_old_ids
from lsinet_monai.workflow.unknown_keys import check_keys, check_overlays, check_run

__all__ = ["start"]


def start() -> None:
    """Check how a run was called, and read its values. From here on an error that a person can act on is one line.

    Raises:
        InputError: the config has an id of an earlier version, an overlay stands before the config that it adds to, or
            there is no such run or key.
    """
    report_input_errors_in_one_line()
    call = find_call()
    if call is None:
        return
    refuse_old_ids()
    check_order(call)
    _check_load(call)
    check_run(call)
    check_keys(call)
    check_overlays(call)
    read_given_values(call)
    adapt_tracking(call)


def _check_load(call: Call) -> None:
    if "load" in call.verbs and "training" in call.parser:
        raise InputError(
            "monai.bundle.load would give a network to train, without the weights of the bundle's model: pass "
            "workflow_type='inference'"
        )
