"""Scores that need the truth: of frames, of clips and of splits."""

from typing import TYPE_CHECKING

from lsinet_monai.metrics.benchmark import (
    BENCHMARK_SCORES,
    THRESHOLDS,
    average,
    benchmark_scores,
    frame_measures,
    released_map,
    too_short_notice,
)
from lsinet_monai.metrics.clicks import Click, next_click
from lsinet_monai.metrics.clinical import ClinicalCounts, ClinicalScorer, clinical_scores
from lsinet_monai.metrics.clip_dice import ClipDice, frame_dice
from lsinet_monai.metrics.clip_scores import ClipResult, ClipScorer, ClipScores, split_scores
from lsinet_monai.metrics.fixed_mask import best_fixed_mask, fixed_mask_dice
from lsinet_monai.utils.renamed import renamed

__all__ = [
    "BENCHMARK_SCORES",
    "THRESHOLDS",
    "Click",
    "ClinicalCounts",
    "ClinicalScorer",
    "ClipDice",
    "ClipResult",
    "ClipScorer",
    "ClipScores",
    "average",
    "benchmark_scores",
    "best_fixed_mask",
    "clinical_scores",
    "fixed_mask_dice",
    "frame_dice",
    "frame_measures",
    "next_click",
    "released_map",
    "split_scores",
    "too_short_notice",
]

_MOVED = {
    "lsinet_monai.evaluation": ["Evaluation", "MapProblems", "TruthClip", "score_folders", "truth_clips"],
    "lsinet_monai.masks": [
        "LesionLinker",
        "frame_doubts",
        "frame_score",
        "has_polyp",
        "mask_change",
        "polyp_intervals",
        "temporal_disagreement",
        "uncertainty",
        "video_doubt",
    ],
}

if not TYPE_CHECKING:  # so that type checkers know all names
    __getattr__ = renamed(__name__, {name: f"{place}.{name}" for place, names in _MOVED.items() for name in names})
