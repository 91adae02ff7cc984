"""Time: the memory bank, and the inferer that runs the network over the frames of a clip."""

from .memory_bank import MemoryBank
from .sequential import ClipState, SequentialVideoInferer

__all__ = ["ClipState", "MemoryBank", "SequentialVideoInferer"]
