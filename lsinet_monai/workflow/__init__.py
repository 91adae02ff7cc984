"""Running the bundle: how a run starts, is checked and recorded, is repeated in one process, and ends in one line."""

from lsinet_monai.utils.error_line import report_input_errors_in_one_line

from .checks import check_device, check_exported
from .inference import all_exports, record_settings
from .model import load_model
from .old_ids import refuse_old_ids
from .reruns import run_with
from .start import start

__all__ = [
    "all_exports",
    "check_device",
    "check_exported",
    "load_model",
    "record_settings",
    "refuse_old_ids",
    "report_input_errors_in_one_line",
    "run_with",
    "start",
]
