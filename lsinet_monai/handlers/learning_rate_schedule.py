"""Step a schedule of the learning rate within epochs."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import LRScheduler

from lsinet_monai.handlers.gradient_accumulation import is_optimizer_step

__all__ = ["LearningRateSchedule"]


class LearningRateSchedule:
    """Step a schedule of the learning rate after each step of the optimiser.

    MONAI's ``LrScheduleHandler`` does so after each epoch or each batch, also where several batches make one step.

    Args:
        lr_scheduler: the schedule, such as :class:`lsinet_monai.optimizers.WarmupCosine`.
    """

    def __init__(self, lr_scheduler: LRScheduler) -> None:
        self.lr_scheduler = lr_scheduler

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Step the schedule after a step of the optimiser."""
        if is_optimizer_step(engine):
            self.lr_scheduler.step()
