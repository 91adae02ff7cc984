"""The model that the package ships: how to recognise it, and the line that names it and its terms.

Only the standard library is imported, because setup.py reads this file before anything is installed.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

__all__ = ["LICENCE_FILE", "MODEL_FILE", "NAME", "SHA256", "describe_model", "is_shipped_model", "model_hash"]

MODEL_FILE = "models/model.pt"
"""The shipped model, in the bundle's folder."""

LICENCE_FILE = "models/LICENSE-model.txt"
"""Its licence, in the bundle's folder."""

NAME = "lsinet_lite1_kvasir"

SHA256 = "2b76aeea590a9752f96c2761864771ce67461aac65fa3272a1d3fa78e9a157f1"
"""The hash of the shipped model. No other file is shipped under its name, such as one that was trained on patients."""

_SHOWN = 16
"""Hexadecimal digits of a hash that people see."""

_CHUNK = 1 << 20


def model_hash(path: str | Path) -> str | None:
    """Identify a model file by its content.

    Args:
        path: the file.

    Returns:
        the first 16 hexadecimal digits of its SHA-256; None if there is no such file.

    Raises:
        OSError: the file cannot be read.
    """
    found = _sha256(path)
    return found and found[:_SHOWN]


def is_shipped_model(path: str | Path) -> bool:
    """Whether a file is the model that the package ships, wherever it lies.

    Raises:
        OSError: the file cannot be read.
    """
    return _sha256(path) == SHA256


def describe_model(path: str | Path) -> str:
    """Describe a model file in one line: its name and hash and, for the shipped model, the terms of its use.

    Args:
        path: the file; if there is none, the line says so.

    Raises:
        OSError: the file cannot be read.
    """
    found = model_hash(path)
    if found is None:
        return f"there is no file {path}"
    if is_shipped_model(path):
        licence = Path(LICENCE_FILE).name
        return (
            f"{NAME} ({found}), shipped with this package, for research and education ({licence}); not a medical device"
        )
    return f"{Path(path).name} ({found})"


def _sha256(path: str | Path) -> str | None:
    file = Path(path)
    if not file.is_file():
        return None
    stat = file.stat()
    return _sha256_of(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256_of(file: Path, size: int, mtime_ns: int) -> str:
    """Hash a file. Size and time are in the cache's key: a server asks often, and a large file takes a second."""
    found = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
