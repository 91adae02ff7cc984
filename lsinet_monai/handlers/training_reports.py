"""Report a training: to the log, to TensorBoard, and as a progress bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine
from monai.handlers import StatsHandler, TensorBoardStatsHandler

from lsinet_monai.handlers.clip_dice_curves import ClipDiceCurves
from lsinet_monai.handlers.prediction_pictures import PredictionPictures
from lsinet_monai.handlers.training_progress import TrainingProgress
from lsinet_monai.metrics import ClipDice

__all__ = ["TrainingReports"]


class TrainingReports:
    """Report a training and its validations, on the first rank.

    TensorBoard gets each step's losses and learning rate, each validation's metrics and the Dice of each clip, and
    pictures. The log gets each validation's metrics, and the terminal a progress bar.

    Args:
        log_dir: TensorBoard's folder. Files are written there once the trainer is made.
        evaluator: the engine that validates.
        metric: its key metric.
    """

    def __init__(self, log_dir: str | Path, evaluator: Engine, metric: ClipDice) -> None:
        self.log_dir = str(log_dir)
        self.evaluator = evaluator
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer that has a :class:`TrainingLosses` too, after it."""
        if idist.get_rank() > 0:
            return
        on_trainer: list[Any] = [
            TensorBoardStatsHandler(log_dir=self.log_dir, output_transform=lambda output: output["curves"]),
            TrainingProgress(self.evaluator),
        ]
        on_evaluator: list[Any] = [
            StatsHandler(name=None, iteration_log=False),
            TensorBoardStatsHandler(log_dir=self.log_dir, iteration_log=False),
            ClipDiceCurves(self.metric, self.log_dir),
            PredictionPictures(self.log_dir, self.metric.threshold),
        ]
        for handlers, its_engine in ((on_trainer, engine), (on_evaluator, self.evaluator)):
            for handler in handlers:
                handler.attach(its_engine)
