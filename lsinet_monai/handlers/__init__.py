"""Handlers for Ignite's and MONAI's engines, one per file."""

from typing import TYPE_CHECKING

from lsinet_monai.utils.renamed import renamed

from .buffer_broadcast import BufferBroadcast
from .clip_dice_curves import ClipDiceCurves
from .clip_progress import ClipProgress
from .clip_results_saver import ClipResultsSaver
from .clip_state_saver import ClipStateSaver
from .failure_reporter import FailureReporter
from .finite_logits import FiniteLogits
from .finite_losses import FiniteLosses
from .gradient_accumulation import GradientAccumulation
from .gradient_clipping import GradientClipping
from .inferer_reset import InfererReset
from .learning_rate_schedule import LearningRateSchedule
from .model_saver import ModelSaver
from .prediction_pictures import PredictionPictures
from .released_maps_saver import ReleasedMapsSaver
from .sampler_epoch import SamplerEpoch
from .scores_saver import ScoresSaver
from .training_folder import TrainingFolder
from .training_losses import TrainingLosses
from .training_progress import TrainingProgress
from .training_reports import TrainingReports
from .training_state import TrainingState
from .weight_averaging import WeightAveraging

__all__ = [
    "BufferBroadcast",
    "ClipDiceCurves",
    "ClipProgress",
    "ClipResultsSaver",
    "ClipStateSaver",
    "FailureReporter",
    "FiniteLogits",
    "FiniteLosses",
    "GradientAccumulation",
    "GradientClipping",
    "InfererReset",
    "LearningRateSchedule",
    "ModelSaver",
    "PredictionPictures",
    "ReleasedMapsSaver",
    "SamplerEpoch",
    "ScoresSaver",
    "TrainingFolder",
    "TrainingLosses",
    "TrainingProgress",
    "TrainingReports",
    "TrainingState",
    "WeightAveraging",
]

if not TYPE_CHECKING:  # so that type checkers know all names
    __getattr__ = renamed(
        __name__,
        {
            "CheckLogits": "FiniteLogits",
            "ClipGradients": "GradientClipping",
            "EqualBuffers": "BufferBroadcast",
            "ExplainFailures": "FailureReporter",
            "ResetInferer": "InfererReset",
            "SaveModel": "ModelSaver",
            "TrainingCheckpoint": "TrainingState",
            "WriteClipResults": "ClipResultsSaver",
            "WriteReleasedMaps": "ReleasedMapsSaver",
            "WriteScores": "ScoresSaver",
            "remaining_clips": "lsinet_monai.workflow.remaining_clips",
        },
    )
