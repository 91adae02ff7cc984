"""Time: the memory bank, and the inferer that runs the network over the frames of a clip."""

from .export import export_network
from .memory_bank import MemoryBank
from .mixed_precision import MixedPrecisionInferer
from .sequential import ClipState, SequentialVideoInferer, encode_frames, segment_frame
from .session import FrameSource, PropagatedFrame, VideoSession
from .streaming_step import StreamingStep

__all__ = [
    "ClipState",
    "FrameSource",
    "MemoryBank",
    "MixedPrecisionInferer",
    "PropagatedFrame",
    "SequentialVideoInferer",
    "StreamingStep",
    "VideoSession",
    "encode_frames",
    "export_network",
    "segment_frame",
]
