"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsinet_monai.errors import InputError

__all__ = ["prepare_file", "whole_file"]

_LONGEST_NAME = 255  # bytes, on all usual file systems


def prepare_file(path: str | Path, name: str) -> Path:
    """Make sure, before long work, that its result can be written to a file; the folder above it is made.

    Args:
        path: the file.
        name: what errors call it, such as "model_file".

    Returns:
        the file.

    Raises:
        InputError: the path is a folder, or the folder above it cannot be made or written to.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{name} '{file}' is a folder: give the name of a file in it")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name} '{file}' cannot be written ({error.strerror}): choose another place") from error
    if not os.access(file.parent, os.W_OK):
        raise InputError(f"{name} '{file}' cannot be written (no permission): choose another place")
    return file


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
