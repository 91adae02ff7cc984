"""Handlers for Ignite's and MONAI's engines: resets, curriculum, progress, pictures, results."""

from .checkpoints import TrainingCheckpoint
from .failures import FailureReporter, FiniteLogits
from .pictures import PredictionPictures
from .progress import ClipProgress
from .reset_inferer import ResetInferer
from .results import WriteClipResults, remaining_clips
from .scores import ClipDiceCurves, WriteReleasedMaps, WriteScores
from .training import BufferBroadcast, GradientClipping, SamplerEpoch, SaveModel, TrainingLosses, TrainingProgress

__all__ = [
    "BufferBroadcast",
    "ClipDiceCurves",
    "ClipProgress",
    "FailureReporter",
    "FiniteLogits",
    "GradientClipping",
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
