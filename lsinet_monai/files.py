"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]

_LONGEST_NAME = 255  # bytes, on all usual file systems


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Let a file appear whole or not at all.

    Args:
        path: the file to write; folders above it are made.

    Yields:
        A temporary name in the same folder to write to. It takes the file's place when the block ends, and is
        removed when the block raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    if len(os.fsencode(temporary.name)) > _LONGEST_NAME:
        temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
