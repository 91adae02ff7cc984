"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsinet_monai.errors import InputError

__all__ = ["check_archive", "check_writable", "whole_file"]

_LONGEST_NAME = 255  # bytes, on all usual file systems


def check_writable(path: str | Path, name: str) -> Path:
    """Make sure, before long work, that its result can be written to a file. Nothing is made.

    Args:
        path: the file.
        name: what errors call it, such as "model_file".

    Returns:
        the file.

    Raises:
        InputError: the path is a folder, or the folder above it, or where that would be made, cannot be written to.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{name} '{file}' is a folder: give the name of a file in it")
    above = next(folder for folder in file.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        kind = "a file" if above.exists() else "a link to nothing"
        raise InputError(f"{name} '{file}' cannot be written ('{above}' is {kind}): choose another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{name} '{file}' cannot be written (no permission): choose another place")
    return file


@contextmanager
def whole_file(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """Let a file appear whole or not at all.

    Args:
        path: the file to write; folders above it are made.
        durable: let that hold for a power cut too, which may otherwise leave an empty file in the place of an earlier
            one. It costs a wait for the disk: for files that cannot be made again, not for each of many frames.

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
        if durable:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_archive(path: str | Path) -> None:
    """Compare what is in a zip archive, as PyTorch's files are, with its checksums; PyTorch does not look at them.

    Args:
        path: a file; what is no archive, as PyTorch's files were before 1.6, passes.

    Raises:
        zipfile.BadZipFile: something in it is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
