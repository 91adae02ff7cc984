"""Scores of frames and of clips."""

from lsinet_monai.metrics.clip_dice import ClipDice, frame_dice
from lsinet_monai.metrics.fixed_mask import best_fixed_mask, fixed_mask_dice
from lsinet_monai.metrics.frame_scores import frame_score, has_polyp, polyp_intervals, uncertainty

__all__ = [
    "ClipDice",
    "best_fixed_mask",
    "fixed_mask_dice",
    "frame_dice",
    "frame_score",
    "has_polyp",
    "polyp_intervals",
    "uncertainty",
]
