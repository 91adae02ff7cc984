"""Files that exist as long as one call: uploads, and files to send back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace

__all__ = ["TemporaryNames", "call_folder", "new_file", "uploaded_file"]

_folder: ContextVar[Path | None] = ContextVar("call_folder", default=None)


@contextmanager
def call_folder(folder: Path) -> Iterator[None]:
    """Keep the files of the current call in a folder.

    Args:
        folder: a free path. The caller removes the folder when the call has been answered.
    """
    folder.mkdir()
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def new_file(suffix: str = "") -> Path:
    """A free path in the call's folder or, outside a call, in the system's temporary folder."""
    folder = _folder.get()
    return (folder or Path(tempfile.gettempdir())) / f"{os.urandom(8).hex()}{suffix}"


def uploaded_file() -> Path | None:
    """The file that the current call brought, or None without one."""
    folder = _folder.get()
    return next(folder.iterdir(), None) if folder else None


class TemporaryNames:
    """Replaces the module ``tempfile`` in MONAI Label, which uses only names from it, and leaves the files behind."""

    @staticmethod
    def NamedTemporaryFile(suffix: str = "") -> SimpleNamespace:
        """A name in the call's folder."""
        return SimpleNamespace(name=str(new_file(suffix)))
