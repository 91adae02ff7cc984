"""What runs leave on disk for people and other tools: masks, maps, overlays, summaries, exports."""

from .clip_writer import ClipWriter, frames_on_disk, is_complete, prepare_model_file, prepare_output_dir
from .drawing import PREDICTION_COLOUR, TRUTH_COLOUR, outline, overlay
from .exports import EXPORTS, check_exports, write_exports
from .frame_records import FrameRecord, read_records

__all__ = [
    "EXPORTS",
    "PREDICTION_COLOUR",
    "TRUTH_COLOUR",
    "ClipWriter",
    "FrameRecord",
    "check_exports",
    "frames_on_disk",
    "is_complete",
    "outline",
    "overlay",
    "prepare_model_file",
    "prepare_output_dir",
    "read_records",
    "write_exports",
]
