"""Inference over time: the memory bank, the inferer for the frames of a clip, and the session with corrections."""

from lsinet_monai.inferers.feature_store import FrameSource
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.mixed_precision import MixedPrecisionInferer
from lsinet_monai.inferers.sequential import ClipState, SequentialVideoInferer, encode_frames, segment_frame
from lsinet_monai.inferers.session import PropagatedFrame, VideoSession

__all__ = [
    "ClipState",
    "FrameSource",
    "MemoryBank",
    "MixedPrecisionInferer",
    "PropagatedFrame",
    "SequentialVideoInferer",
    "VideoSession",
    "encode_frames",
    "segment_frame",
]
