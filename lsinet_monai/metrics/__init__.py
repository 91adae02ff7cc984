"""Scores of frames and of clips."""

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
from lsinet_monai.metrics.doubt import frame_doubts, mask_change, temporal_disagreement, video_doubt
from lsinet_monai.metrics.fixed_mask import best_fixed_mask, fixed_mask_dice
from lsinet_monai.metrics.folders import Evaluation, MapProblems, TruthClip, score_folders, truth_clips
from lsinet_monai.metrics.frame_scores import frame_score, has_polyp, polyp_intervals, uncertainty
from lsinet_monai.metrics.lesions import LesionLinker

__all__ = [
    "BENCHMARK_SCORES",
    "THRESHOLDS",
    "ClinicalCounts",
    "ClinicalScorer",
    "ClipDice",
    "ClipResult",
    "ClipScorer",
    "ClipScores",
    "Evaluation",
    "LesionLinker",
    "MapProblems",
    "TruthClip",
    "average",
    "benchmark_scores",
    "best_fixed_mask",
    "clinical_scores",
    "fixed_mask_dice",
    "frame_dice",
    "frame_doubts",
    "frame_measures",
    "frame_score",
    "has_polyp",
    "mask_change",
    "polyp_intervals",
    "released_map",
    "score_folders",
    "split_scores",
    "temporal_disagreement",
    "too_short_notice",
    "truth_clips",
    "uncertainty",
    "video_doubt",
]
