"""Inference over time: the memory bank, the inferer for the frames of a clip, and the session with corrections."""

from typing import TYPE_CHECKING

from lsinet_monai.inferers.bad_frames import EMPTY_LOGIT, are_left_empty
from lsinet_monai.inferers.clip_state import ClipReport, ClipState
from lsinet_monai.inferers.clip_training import FEATURE_KEYS, ClipTrainingInferer
from lsinet_monai.inferers.feature_store import FrameSource
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.prompted_frame import PromptedFrame
from lsinet_monai.inferers.sequential import SequentialVideoInferer, encode_frames, segment_frame
from lsinet_monai.inferers.session import PropagatedFrame, VideoSession
from lsinet_monai.inferers.stored_clips import StoredClips
from lsinet_monai.inferers.training import TrainingInferer
from lsinet_monai.utils.renamed import renamed

__all__ = [
    "EMPTY_LOGIT",
    "FEATURE_KEYS",
    "ClipReport",
    "ClipState",
    "ClipTrainingInferer",
    "FrameSource",
    "MemoryBank",
    "PromptedFrame",
    "PropagatedFrame",
    "SequentialVideoInferer",
    "StoredClips",
    "TrainingInferer",
    "VideoSession",
    "are_left_empty",
    "encode_frames",
    "segment_frame",
]

if not TYPE_CHECKING:  # so that type checkers know all names
    __getattr__ = renamed(
        __name__,
        {
            "MixedPrecisionInferer": "TrainingInferer",
            "StreamingStep": "lsinet_monai.export.StreamingStep",
            "export_network": "lsinet_monai.export.export_network",
        },
    )
