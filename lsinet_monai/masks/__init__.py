"""Masks and probability maps without the truth: from logits to probabilities, frame scores, lesion tracks, doubt."""

from .doubt import (
    expected_error,
    fault_doubts,
    frame_doubts,
    mask_change,
    temporal_disagreement,
    video_doubt,
)
from .probability import logit_to_probability
from .scores import frame_score, has_polyp, polyp_intervals, uncertainty
from .tracking import LesionLinker

__all__ = [
    "LesionLinker",
    "expected_error",
    "fault_doubts",
    "frame_doubts",
    "frame_score",
    "has_polyp",
    "logit_to_probability",
    "mask_change",
    "polyp_intervals",
    "temporal_disagreement",
    "uncertainty",
    "video_doubt",
]
