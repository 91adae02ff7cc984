"""Handlers for Ignite's and MONAI's engines: resets, curriculum, progress, pictures, results."""

from .checkpoints import TrainingCheckpoint
from .failures import CheckLogits, ExplainFailures
from .pictures import PredictionPictures
from .progress import ClipProgress
from .reset_inferer import ResetInferer
from .results import WriteClipResults, remaining_clips
from .scores import ClipDiceCurves, WriteReleasedMaps, WriteScores
from .training import ClipGradients, EqualBuffers, SamplerEpoch, SaveModel, TrainingLosses, TrainingProgress

__all__ = [
    "CheckLogits",
    "ClipDiceCurves",
    "ClipGradients",
    "ClipProgress",
    "EqualBuffers",
    "ExplainFailures",
    "PredictionPictures",
    "ResetInferer",
    "SamplerEpoch",
    "SaveModel",
    "TrainingCheckpoint",
    "TrainingLosses",
    "TrainingProgress",
    "WriteClipResults",
    "WriteReleasedMaps",
    "WriteScores",
    "remaining_clips",
]
