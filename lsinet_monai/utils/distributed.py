"""Several processes, ranks, that share a run, as ``torchrun`` starts them; what they say of bad input is said once."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from types import TracebackType
from typing import Any

import torch.distributed as dist

from lsinet_monai.errors import InputError

__all__ = ["agree", "collect", "end", "start"]

# A rank may be done with its videos days before the last one is.
_LONGEST_WAIT = timedelta(days=30)

_is_agreed = False


def start() -> None:
    """Join the other ranks, after :func:`lsinet_monai.errors.report_input_errors_in_one_line`.

    Ranks only exchange a few words, so that their tensors' devices do not matter. Until :func:`agree`, an error that
    several ranks meet, such as an input that is not there, is shown by the first of them alone.

    Raises:
        InputError: ``torchrun`` did not start this process.
    """
    if dist.is_initialized():
        return
    if "RANK" not in os.environ:
        raise InputError(
            "a multi_gpu config is for several processes: start them by torchrun --nproc_per_node N -m ..."
        )
    dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _is_agreed:
            print(file=sys.__stderr__, flush=True)  # the progress bar of another rank may stand in this line
        if _is_agreed or _exchange(True).index(True) == dist.get_rank():
            previous(kind, error, trace)

    hook.reports_input_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def agree() -> None:
    """Wait until every rank is ready to begin; end, without a word, where one has shown an error."""
    global _is_agreed
    if any(_exchange(False)):
        raise SystemExit(1)
    _is_agreed = True


def collect(found: dict[str, str]) -> dict[str, str]:
    """Bring together at the end what each rank found.

    Returns:
        All of it on the first rank, nothing on the others.

    Raises:
        SystemExit: a rank has ended by an error, which it has shown.
    """
    everything: dict[str, str] = {}
    for part in _exchange(found):
        everything |= part
    return everything if dist.get_rank() == 0 else {}


def end() -> None:
    """Leave the other ranks."""
    dist.destroy_process_group()


def _exchange(value: Any) -> list[Any]:
    values: list[Any] = [None] * dist.get_world_size()
    try:
        dist.all_gather_object(values, value)
    except RuntimeError:  # another rank is gone
        raise SystemExit(1) from None
    return values
