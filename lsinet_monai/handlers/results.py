"""What inference leaves on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch.nn import functional as F

from lsinet_monai.writers import ClipWriter

__all__ = ["WriteClipResults"]


class WriteClipResults:
    """Write masks, maps, an overlay and a summary for each clip, while its pieces are segmented.

    Attached to an evaluator that runs :class:`lsinet_monai.data.ClipPieces` with ``with_frames``, one clip's pieces in
    order. If the run ends with an error, what is on disk is whole: see :class:`lsinet_monai.writers.ClipWriter`.

    Args:
        clips: the clips that are run, as :func:`lsinet_monai.data.find_clips` lists them.
        output_dir: the folder of all results.
        threshold: probability above which a pixel belongs to the mask.
    """

    def __init__(self, clips: Sequence[Mapping[str, Any]], output_dir: str | Path, threshold: float = 0.5) -> None:
        self.names = {clip["clip_id"]: [Path(path).name for path in clip["image"]] for clip in clips}
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self._writer: ClipWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._exception_raised)

    def _iteration_completed(self, engine: Engine) -> None:
        batch = engine.state.batch
        clip_id, first = batch["clip_id"][0], int(batch["frame_index"][0])
        if self._writer is None:
            self._writer = ClipWriter(self.output_dir, clip_id, threshold=self.threshold).__enter__()
        logits = engine.state.output["pred"][0, 0].float()
        for i, (frame, logit) in enumerate(zip(batch["frame"][0].numpy(), logits, strict=True)):
            size = frame.shape[:2]
            resized = F.interpolate(logit[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
            probability = torch.sigmoid(resized).cpu().numpy().astype(np.float32)
            self._writer.write(self.names[clip_id][first + i], frame, probability)
        if bool(batch["is_last"][0]):
            writer, self._writer = self._writer, None
            writer.__exit__(None, None, None)

    def _exception_raised(self, engine: Engine, error: BaseException) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.__exit__(type(error), error, error.__traceback__)
        raise error
