"""What evaluation leaves on disk: scores, and the benchmark's maps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from lsinet_monai.data.sun_seg import SPLITS
from lsinet_monai.evaluation import score_table
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.metrics import ClipDice, ClipResult, ClipScores, released_map, split_scores, too_short_notice
from lsinet_monai.utils.files import atomic_write

__all__ = ["ClipDiceCurves", "WriteReleasedMaps", "WriteScores"]


class ClipDiceCurves:
    """Write each validation clip's Dice for TensorBoard, where the mean over clips hides which of them get better.

    Args:
        metric: the evaluator's metric.
        log_dir: TensorBoard's folder.
    """

    def __init__(self, metric: ClipDice, log_dir: str | Path) -> None:
        self.metric = metric
        self.log_dir = str(log_dir)
        self._writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, which has attached the metric before."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self._writer = self._writer or SummaryWriter(self.log_dir)
        for clip_id, dice in self.metric.per_clip.items():
            self._writer.add_scalar(f"val_dice/{clip_id}", dice, engine.state.epoch)
        self._writer.flush()


class WriteScores:
    """Print the benchmark's table and write ``scores.json``: ``{method: {split: {"dataset": ..., "cases": ...}}}``.

    Args:
        metric: the evaluator's metric, whose clips are scored.
        path: the file.
        method: the name under which the scores stand.
    """

    def __init__(self, metric: ClipScores, path: str | Path, method: str = "lsinet") -> None:
        self.metric = metric
        self.path = Path(path)
        self.method = method

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        splits: dict[str, dict[str, ClipResult]] = {}
        short = []
        for clip_id, result in self.metric.per_clip.items():
            split = next((split for split in (*SPLITS, "negative") if clip_id.startswith(f"{split}/")), "all")
            if split == "negative":  # where the benchmark would give a Dice of 0 whatever is predicted
                result = replace(result, measures=None, benchmark_frames=0)
            elif result.measures is None:
                short.append(clip_id)
            splits.setdefault(split, {})[clip_id.removeprefix(f"{split}/")] = result
        pace = self.metric.frames_per_second
        scores = {self.method: {split: split_scores(clips, pace) for split, clips in splits.items()}}
        with atomic_write(self.path) as path:
            path.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        print(score_table(scores))
        if short and self.metric.benchmark:
            print(f"note: {too_short_notice(short)}")
        print(f"scores of every clip: {self.path}")


class WriteReleasedMaps:
    """Write the benchmark's maps, min-max stretched per frame as the released program does.

    SUN-SEG's toolbox computes from ``OUTPUT_DIR/<split>/<case>/<frame>.png`` the scores that
    :class:`~lsinet_monai.metrics.ClipScores` has. For people these maps are not: on a frame without a polyp they show
    one.

    Args:
        clips: the clips that are run.
        output_dir: the folder of the maps.
    """

    def __init__(self, clips: Sequence[Mapping[str, Any]], output_dir: str | Path) -> None:
        self.names = {clip["clip_id"]: [Path(path).stem for path in clip["image"]] for clip in clips}
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator of :class:`lsinet_monai.data.ClipPieces`, one piece a batch."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        batch = engine.state.batch
        clip_id, first = batch["clip_id"][0], int(batch["frame_index"][0])
        size = batch["label"].shape[-2:]
        for at, logit in enumerate(engine.state.output["pred"][0, 0].float()):
            map_ = released_map(logit_to_probability(logit, size).cpu().numpy())
            with atomic_write(self.output_dir / clip_id / f"{self.names[clip_id][first + at]}.png") as path:
                Image.fromarray(map_).save(path, format="PNG")
