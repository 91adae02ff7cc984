"""What runs leave on disk for people and other tools: masks, maps, overlays, summaries, exports."""

from .clip_writer import (
    ClipWriter,
    check_model_file,
    forget_clip,
    frames_on_disk,
    prepare_output_dir,
    read_summary,
    unfinished_dir,
)
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
    "check_model_file",
    "forget_clip",
    "frames_on_disk",
    "outline",
    "overlay",
    "prepare_output_dir",
    "read_records",
    "read_summary",
    "unfinished_dir",
    "write_exports",
]
