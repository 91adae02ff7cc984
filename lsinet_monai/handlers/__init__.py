"""Handlers for Ignite's and MONAI's engines: resets, curriculum, progress, pictures, results."""

from .checkpoints import TrainingCheckpoint
from .failures import ExplainFailures
from .pictures import PredictionPictures
from .reset_inferer import ResetInferer
from .results import WriteClipResults
from .scores import ClipDiceCurves, WriteReleasedMaps, WriteScores
from .training import ClipGradients, EqualBuffers, SamplerEpoch, SaveModel, TrainingLosses, TrainingProgress

__all__ = [
    "ClipDiceCurves",
    "ClipGradients",
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
]
