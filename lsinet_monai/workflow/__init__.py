"""Running the bundle: how a run starts, is checked and recorded, is repeated in one process, and ends in one line."""

from .bundle_root import bundle_root
from .config_order import extends
from .inference import all_exports, check_exported, has_prompt_head, record_settings
from .inference_process import InferenceProcess
from .last_line import log_written
from .model import load_model, warn_of_image_size
from .reruns import run_with
from .resume import remaining_clips
from .start import start
from .torch_settings import check_compile, set_up_torch
from .unknown_keys import check_initialized

__all__ = [
    "InferenceProcess",
    "all_exports",
    "bundle_root",
    "check_compile",
    "check_exported",
    "check_initialized",
    "extends",
    "has_prompt_head",
    "load_model",
    "log_written",
    "record_settings",
    "remaining_clips",
    "run_with",
    "set_up_torch",
    "start",
    "warn_of_image_size",
]
