"""What runs leave on disk for people and other tools: masks, maps, overlays, summaries."""

from .clip_writer import ClipWriter, prepare_model_file, prepare_output_dir
from .drawing import PREDICTION_COLOUR, TRUTH_COLOUR, outline, overlay

__all__ = [
    "PREDICTION_COLOUR",
    "TRUTH_COLOUR",
    "ClipWriter",
    "outline",
    "overlay",
    "prepare_model_file",
    "prepare_output_dir",
]
