"""Handlers for Ignite's and MONAI's engines: resets, curriculum, progress, pictures, results."""

from .pictures import PredictionPictures
from .progress import ClipProgress
from .reset_inferer import ResetInferer
from .results import WriteClipResults, remaining_clips
from .scores import WriteReleasedMaps, WriteScores
from .training import ClipGradients, SamplerEpoch, SaveModel, TrainingProgress

__all__ = [
    "ClipGradients",
    "ClipProgress",
    "PredictionPictures",
    "ResetInferer",
    "SamplerEpoch",
    "SaveModel",
    "TrainingProgress",
    "WriteClipResults",
    "WriteReleasedMaps",
    "WriteScores",
    "remaining_clips",
]
