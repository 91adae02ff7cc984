"""Scores that need the truth: of frames, of clips and of splits."""

from lsinet_monai.metrics.benchmark import (
    BENCHMARK_SCORES,
    THRESHOLDS,
    average,
    benchmark_scores,
    frame_measures,
    released_map,
    too_short_notice,
)
from lsinet_monai.metrics.clinical import ClinicalCounts, ClinicalScorer, clinical_scores
from lsinet_monai.metrics.clip_dice import ClipDice, frame_dice
from lsinet_monai.metrics.clip_scores import ClipResult, ClipScorer, ClipScores, split_scores
from lsinet_monai.metrics.fixed_mask import best_fixed_mask, fixed_mask_dice

__all__ = [
    "BENCHMARK_SCORES",
    "THRESHOLDS",
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
    "released_map",
    "split_scores",
    "too_short_notice",
]
