"""What ends a run that is well begun, said in one line."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events

from lsinet_monai.errors import InputError, describe_no_room, find_input_error
from lsinet_monai.workflow.parallel import is_alone

__all__ = ["FailureReporter", "FiniteLogits"]


class FailureReporter:
    """Turn what a full disk, a lost data loading process or a full GPU raise into an error of one line.

    Attached to a trainer or an evaluator, before all other handlers, which would log a traceback.

    Args:
        at_failure: called first, whatever was raised: gives back what the engine's run has taken.
        way_on: how the run goes on once its cause is removed, the end of the line.
    """

    def __init__(
        self,
        at_failure: Callable[[], None] | None = None,
        way_on: str = "then go on with --resume true; the last checkpoint is kept",
    ) -> None:
        self.at_failure = at_failure
        self.way_on = way_on

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Engine, error: BaseException) -> None:
        if self.at_failure is not None:
            self.at_failure()
        if find_input_error(error) is None:
            if _another_rank_ended(error):
                raise SystemExit(1) from None  # that rank says why
            if message := _explain(error, self.way_on, has_begun=engine.state.iteration > 0):
                raise InputError(message) from error
        raise error


class FiniteLogits:
    """End a run whose network gives what is no number, before that passes for a mask without a polyp.

    Attached to an evaluator, before the handlers that keep its results.

    Raises:
        InputError: after a batch, if a logit in ``pred`` is infinite or not a number.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator whose batches have ``clip_id``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if torch.isfinite(engine.state.output["pred"]).all():
            return
        clip_id = engine.state.batch["clip_id"]
        raise InputError(
            f"{clip_id if isinstance(clip_id, str) else clip_id[0]}: the network's masks are not numbers, because the "
            "training of its weights has diverged, or because of amp_dtype: take earlier weights, train with a lower "
            "learning_rate, or leave amp_dtype out"
        )


def _explain(error: BaseException, way_on: str, has_begun: bool) -> str | None:
    reason = str(error).strip().partition("\n")[0]
    # Before the first step the checkpoint that could not be written is the first: one that is there is another's.
    way_on_with_room = way_on if has_begun else "then start it again as before; nothing was replaced"
    if message := describe_no_room(error):
        return f"{message}, {way_on_with_room}"
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is full: give a smaller batch_size or image_size, or amp_dtype bfloat16"
    if isinstance(error, RuntimeError) and reason.startswith("DataLoader worker"):  # which has no class of its own
        cause = reason.partition(". ")[0].rstrip(".")
        return f"{cause}; main memory may be full: give a smaller num_workers, {way_on}"
    return None


def _another_rank_ended(error: BaseException) -> bool:
    is_lost_peer = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
    return is_lost_peer and not is_alone()
