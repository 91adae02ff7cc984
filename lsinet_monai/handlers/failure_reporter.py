"""Report failures of the machine in one line."""

from __future__ import annotations

from collections.abc import Callable

import ignite.distributed as idist
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events

from lsinet_monai.errors import InputError, describe_no_room, find_input_error

__all__ = ["FailureReporter"]


class FailureReporter:
    """Turn the errors of a full disk, a lost data loading process and a full GPU into an :class:`InputError`.

    Attached to a trainer or an evaluator, before all other handlers, which would log a traceback.

    Args:
        at_failure: called first, at any error: releases what the engine's run has taken.
        advice: the end of the message: how to continue once the cause is removed.
    """

    def __init__(
        self,
        at_failure: Callable[[], None] | None = None,
        advice: str = "then continue with --resume true; the last training state is kept",
    ) -> None:
        self.at_failure = at_failure
        self.advice = advice

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Engine, error: BaseException) -> None:
        """Report an error in one line, and let it end the run."""
        engine._internal_run_generator = None  # it has ended: Ignite would take the next run for one that is done
        if self.at_failure is not None:
            self.at_failure()
        if find_input_error(error) is None:
            if _another_rank_ended(error):
                raise SystemExit(1) from None  # that rank reports why
            if message := _explain(error, self.advice, has_begun=engine.state.iteration > 0):
                raise InputError(message) from error
        raise error


def _explain(error: BaseException, advice: str, has_begun: bool) -> str | None:
    reason = str(error).strip().partition("\n")[0]
    # Before the first step the training could not write its first state: a file that is there belongs to another one.
    advice_with_room = advice if has_begun else "then start it again as before; nothing was replaced"
    if message := describe_no_room(error):
        return f"{message}, {advice_with_room}"
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is full: give a smaller batch_size or image_size, or amp_dtype bfloat16"
    if isinstance(error, RuntimeError) and reason.startswith("DataLoader worker"):  # it has no class of its own
        cause = reason.partition(". ")[0].rstrip(".")
        return f"{cause}; main memory may be full: give a smaller num_workers, {advice}"
    return None


def _another_rank_ended(error: BaseException) -> bool:
    is_lost_peer = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
    return is_lost_peer and idist.get_world_size() > 1
