"""Running the bundle: how a run starts, is checked and recorded, is repeated in one process, and ends in one line."""

from lsinet_monai.utils.error_line import report_input_errors_in_one_line

from .bundle_root import bundle_root
from .config_order import extends
from .inference import all_exports, check_exported, record_settings
from .model import load_model
from .old_ids import refuse_old_ids
from .reruns import run_with
from .resume import remaining_clips
from .start import start
from .unknown_keys import check_initialized

__all__ = [
    "all_exports",
    "bundle_root",
    "check_exported",
    "check_initialized",
    "extends",
    "load_model",
    "record_settings",
    "refuse_old_ids",
    "remaining_clips",
    "report_input_errors_in_one_line",
    "run_with",
    "start",
]
