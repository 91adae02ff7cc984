"""Curves of each clip's Dice for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from torch.utils.tensorboard import SummaryWriter

from lsinet_monai.metrics import ClipDice

__all__ = ["ClipDiceCurves"]


class ClipDiceCurves:
    """Write each validation clip's Dice for TensorBoard: the mean over clips hides which of them improve.

    Args:
        metric: the evaluator's metric.
        log_dir: TensorBoard's folder.
    """

    def __init__(self, metric: ClipDice, log_dir: str | Path) -> None:
        self.metric = metric
        self.log_dir = str(log_dir)
        self._writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, after its metric."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the Dice of each clip at the end of an epoch."""
        self._writer = self._writer or SummaryWriter(self.log_dir)
        for clip_id, dice in self.metric.per_clip.items():
            self._writer.add_scalar(f"val_dice/{clip_id}", dice, engine.state.epoch)
        self._writer.flush()
