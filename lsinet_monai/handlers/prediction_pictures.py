"""Pictures of predictions for TensorBoard, during validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events
from torch.utils.tensorboard import SummaryWriter

from lsinet_monai.data.frame_tensors import tensor_to_frame
from lsinet_monai.data.frames import resize_frame
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.utils.config_values import check_numbers
from lsinet_monai.writers.overlay_drawing import overlay

__all__ = ["PredictionPictures"]


class PredictionPictures:
    """Write one frame of each validation clip with the label and the predicted mask outlined, in every validation.

    Attach it to an evaluator of :class:`lsinet_monai.data.ClipPieces`. The frame is the middle one of the clip's first
    piece.

    Args:
        log_dir: TensorBoard's folder.
        threshold: probability above which a pixel belongs to the mask.
        max_clips: the largest number of clips that get a picture.
    """

    def __init__(self, log_dir: str | Path, threshold: float = 0.5, max_clips: int = 6) -> None:
        check_numbers(threshold=threshold)
        self.log_dir = str(log_dir)
        self.threshold = threshold
        self.max_clips = max_clips
        self._writer: SummaryWriter | None = None
        self._written = 0

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _epoch_started(self, engine: Engine) -> None:
        self._written = 0

    def _iteration_completed(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        if int(batch["frame_index"][0]) != 0 or self._written >= self.max_clips:
            return
        if self._writer is None:
            self._writer = SummaryWriter(self.log_dir)
        logits = output["pred"][0, 0]
        middle = len(logits) // 2
        frame = tensor_to_frame(batch["image"][0, :, middle])
        label = batch["label"][0, 0, middle].cpu().numpy().astype(np.uint8)
        height, width = frame.shape[:2]
        probability = logit_to_probability(logits[middle], (height, width)).cpu().numpy()
        truth = resize_frame(label * 255, (height, width)) > 128
        picture = overlay(frame, probability > self.threshold, truth=truth)
        self._writer.add_image(f"val_masks/{batch['clip_id'][0]}", picture, engine.state.epoch, dataformats="HWC")
        self._written += 1

    def _epoch_completed(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.flush()
