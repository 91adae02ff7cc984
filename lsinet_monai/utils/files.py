"""Files that appear complete or not at all, and that are checked for damage when they are read."""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lsinet_monai.errors import InputError

__all__ = ["atomic_write", "check_link", "check_writable", "read_torch_file", "write_torch_file"]

_LONGEST_NAME = 255  # bytes, on all usual file systems

_CANNOT_WRITE = ("PytorchStreamWriter", "inline_container", "iostream error")
"""Parts of the errors that PyTorch raises on a full disk. They name neither the file nor the reason."""


def check_link(path: str | os.PathLike[str]) -> None:
    """Refuse a link to nothing, such as one of git-annex, DVC or DataLad without its content.

    Raises:
        InputError: it is one.
    """
    if os.path.islink(path) and not os.path.exists(path):
        raise InputError(
            f"{os.fspath(path)}: is a link to {os.readlink(path)}, which is not there: fetch its content, as by 'git "
            "annex get' or 'dvc pull', or remove the link"
        )


def check_writable(path: str | Path, name: str) -> Path:
    """Check, before long work, that its result can be written to a file. Nothing is written yet.

    Args:
        path: the file.
        name: the file's name in errors, such as "model_file".

    Returns:
        the file.

    Raises:
        InputError: the path is a folder, or the nearest folder above it that exists cannot be written to.
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
def atomic_write(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """Write a file that appears complete or not at all.

    Args:
        path: the file to write; folders above it are made.
        durable: wait until the file is on the disk. Otherwise a power cut may leave an empty file. Use it for files
            that cannot be made again, not for each of many frames.

    Yields:
        A temporary path in the same folder to write to. It replaces the file when the block ends, and is removed when
        the block raises.
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


def write_torch_file(content: Any, path: str | Path, durable: bool = False) -> None:
    """Write a file by :func:`torch.save`, which appears complete or not at all.

    Args:
        content: tensors, numbers and text, in any nesting of lists and dictionaries.
        path: the file.
        durable: see :func:`atomic_write`.

    Raises:
        OSError: the file cannot be written; ``filename`` is its name.
    """
    try:
        # A path, not a file object: after Ctrl-C or on a full disk PyTorch would write to a closed one, and abort.
        with atomic_write(path, durable) as temporary:
            torch.save(content, temporary)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _CANNOT_WRITE):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def read_torch_file(path: str | Path, device: str | torch.device = "cpu") -> Any:
    """Read a file that :func:`torch.save` wrote, without running code from it.

    The file's checksums are verified, which PyTorch does not do. Files from before PyTorch 1.6 have none.

    Args:
        path: the file.
        device: the device to load its tensors to.

    Returns:
        tensors, numbers and text, in any nesting of lists and dictionaries.

    Raises:
        InputError: the file cannot be read. The message is only the reason, in a few words. The caller adds the file
            and the way out.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"{damaged} is damaged")
        return torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    except Exception as error:  # the unpickler's errors on a damaged file have no common class
        raise InputError("damaged, or another kind of file") from error
