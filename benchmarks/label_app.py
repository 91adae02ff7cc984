"""The label app's own parts, for benchmarks that measure what people see in it."""

from __future__ import annotations

import sys
from pathlib import Path

from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.networks import LSINet

APP = Path(__file__).resolve().parents[1] / "apps" / "lsinet_label"

if str(APP) not in sys.path:
    sys.path.insert(0, str(APP))  # as MONAI Label does
from lib.spreading import Inferers, without_specks  # noqa: E402

__all__ = ["make_app_inferer", "without_specks"]


def make_app_inferer(network: LSINet) -> SequentialVideoInferer:
    """Make the inferer with which the app finds and spreads masks by a network."""
    return Inferers().of(network)
