"""The content of a video: fetched from where it lies, and known by its hash."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from lsinet_monai.archive.videos import ArchiveVideo, is_local, open_place
from lsinet_monai.errors import InputError, describe_no_room

__all__ = ["content_hash", "fetch"]

_CHUNK = 1 << 20


def fetch(video: ArchiveVideo, scratch: Path, on_piece: Callable[[], None] = lambda: None) -> tuple[Path, str]:
    """Copy a video here if it is elsewhere, and hash it.

    Args:
        video: the video.
        scratch: the folder to copy it to.
        on_piece: called after each piece of its content.

    Returns:
        Its path on this machine, and the SHA-256 of its content.

    Raises:
        InputError: it cannot be read, or is larger than the disk.
        OSError: there is no room for it here.
    """
    files, inner = open_place(video.path)
    if is_local(files):
        return Path(inner), _read(video, None, on_piece)
    _check_room(video, scratch)
    path = scratch / Path(inner).name
    return path, _read(video, path, on_piece)


def content_hash(video: ArchiveVideo) -> str:
    """The SHA-256 of a video's content.

    Raises:
        InputError: it cannot be read.
    """
    return _read(video, None, lambda: None)


def _check_room(video: ArchiveVideo, scratch: Path) -> None:
    usage = shutil.disk_usage(scratch)
    if video.size > usage.total:
        raise InputError(
            f"{video.path}: has {video.size:,} bytes, and the disk of {scratch} on {socket.gethostname()} "
            f"{usage.total:,}: set TMPDIR to a larger one"
        )
    if video.size > usage.free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch))


def _read(video: ArchiveVideo, copy: Path | None, on_piece: Callable[[], None]) -> str:
    found = hashlib.sha256()
    files, inner = open_place(video.path)
    try:
        with files.open(inner, "rb") as source, copy.open("wb") if copy else nullcontext() as target:
            while chunk := source.read(_CHUNK):
                found.update(chunk)
                if target is not None:
                    target.write(chunk)
                on_piece()
    except Exception as error:  # each file system has errors of its own, from the network too
        if describe_no_room(error):
            raise
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise InputError(f"{video.path}: cannot be read ({reason})") from error
    return found.hexdigest()
