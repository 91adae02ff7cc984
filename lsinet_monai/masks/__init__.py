"""Masks and probability maps without the truth: from logits to probabilities, frame scores, lesion tracks, doubt."""

from .doubt import (
    doubtful_places,
    expected_error,
    fault_doubts,
    frame_doubts,
    mask_change,
    temporal_disagreement,
    video_doubt,
)
from .lesion_tracks import SHORT_TRACK, LesionTracker, join_tracks
from .probability import logit_to_probability
from .scores import frame_score, has_polyp, polyp_intervals, uncertainty
from .tracking import LesionLinker

__all__ = [
    "SHORT_TRACK",
    "LesionLinker",
    "LesionTracker",
    "doubtful_places",
    "expected_error",
    "fault_doubts",
    "frame_doubts",
    "frame_score",
    "has_polyp",
    "join_tracks",
    "logit_to_probability",
    "mask_change",
    "polyp_intervals",
    "temporal_disagreement",
    "uncertainty",
    "video_doubt",
]
