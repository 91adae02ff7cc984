"""Write the scores of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lsinet_monai.data import SPLITS
from lsinet_monai.evaluation import score_table
from lsinet_monai.metrics import ClipResult, ClipScores, split_scores, too_short_notice
from lsinet_monai.utils.files import atomic_write

__all__ = ["ScoresSaver"]


class ScoresSaver:
    """Print the benchmark's table and write ``scores.json``: ``{method: {split: {"dataset": ..., "cases": ...}}}``.

    Args:
        metric: the evaluator's metric.
        path: the file.
        method: the name of the method in the file and the table.
        settings: written to ``summary.json`` next to the scores, as ``{"settings": ...}``; None writes no such file.
    """

    def __init__(
        self,
        metric: ClipScores,
        path: str | Path,
        method: str = "lsinet",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.metric = metric
        self.path = Path(path)
        self.method = method
        self.settings = settings

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, after its metric."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the scores of all clips at the end of an evaluation."""
        if idist.get_rank() > 0:
            return
        splits: dict[str, dict[str, ClipResult]] = {}
        short = []
        for clip_id, result in self.metric.per_clip.items():
            split = next((split for split in (*SPLITS, "negative") if clip_id.startswith(f"{split}/")), "all")
            if split == "negative":  # the benchmark's Dice would be 0 for any prediction
                result = replace(result, measures=None, benchmark_frames=0)
            elif result.measures is None:
                short.append(clip_id)
            splits.setdefault(split, {})[clip_id.removeprefix(f"{split}/")] = result
        frames_per_second = self.metric.frames_per_second
        scores = {self.method: {split: split_scores(clips, frames_per_second) for split, clips in splits.items()}}
        _write_json(self.path, scores)
        if self.settings is not None:
            _write_json(self.path.with_name("summary.json"), {"settings": self.settings})
        print(score_table(scores))
        if short and self.metric.benchmark:
            print(f"note: {too_short_notice(short)}")
        print(f"scores of every clip: {self.path}")


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
