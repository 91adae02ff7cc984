"""Time: the memory bank, and the inferer that runs the network over the frames of a clip."""

from .memory_bank import MemoryBank
from .mixed_precision import MixedPrecisionInferer
from .sequential import ClipState, SequentialVideoInferer, encode_frames, segment_frame
from .session import FrameSource, PropagatedFrame, VideoSession

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
