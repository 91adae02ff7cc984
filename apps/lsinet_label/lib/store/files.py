"""Writing files that survive a power cut, and the time that is written into them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

from lsinet_monai.utils.files import atomic_write

__all__ = ["utc_now", "write_durably"]


def utc_now() -> str:
    """The time now, ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and wait until the file and its name are on the disk."""
    with atomic_write(path, durable=True) as temporary:
        temporary.write_bytes(content)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
