"""The files that runs write for people and other tools: masks, maps, overlays, summaries, exports."""

from .clip_writer import ClipWriter
from .exports import EXPORTS, check_exports, write_exports
from .fetched_maps import FrameMap, fetch_map
from .frame_records import FrameRecord, read_records
from .output_dir import check_model_file, prepare_output_dir
from .outputs import Outputs
from .overlay_drawing import PREDICTION_COLOUR, TRUTH_COLOUR, outline, overlay
from .summary import read_summary
from .unfinished import forget_clip, frames_on_disk, unfinished_dir

__all__ = [
    "EXPORTS",
    "PREDICTION_COLOUR",
    "TRUTH_COLOUR",
    "ClipWriter",
    "FrameMap",
    "FrameRecord",
    "Outputs",
    "check_exports",
    "check_model_file",
    "fetch_map",
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
