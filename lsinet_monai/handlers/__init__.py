"""Handlers for Ignite's and MONAI's engines: resets, curriculum, progress, pictures, results."""

from .pictures import PredictionPictures
from .reset_inferer import ResetInferer
from .results import WriteClipResults
from .scores import WriteReleasedMaps, WriteScores
from .training import ClipGradients, SamplerEpoch, SaveModel, TrainingProgress

__all__ = [
    "ClipGradients",
    "PredictionPictures",
    "ResetInferer",
    "SamplerEpoch",
    "SaveModel",
    "TrainingProgress",
    "WriteClipResults",
    "WriteReleasedMaps",
    "WriteScores",
]
