"""A lock that keeps other processes out of a folder. It ends with the process that holds it, even if that is killed."""

from __future__ import annotations

import errno
import logging
import os

from filelock import FileLock, Timeout

from lsinet_monai.errors import InputError

__all__ = ["acquire_folder"]

logger = logging.getLogger(__name__)

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""The errors of file systems without locks."""


def acquire_folder(
    lock: FileLock, file: str | os.PathLike[str], folder: str, does: str, way_out: str, wait: float
) -> None:
    """Acquire a folder's lock. On a file system without locks, log a warning instead.

    Args:
        lock: the lock.
        file: its file, in the folder, as messages name it; the lock itself knows an absolute path only.
        folder: the folder in messages, such as ``output_dir 'out'``.
        does: what a process does in the folder, such as "trains".
        way_out: what a person can do if another process holds the lock.
        wait: seconds to wait for the lock, which a killed process may hold for a moment longer.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written to.
    """
    try:
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise InputError(
            f"another process {does} in {folder}: {way_out}. If none does on any machine, delete '{file}'"
        ) from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise InputError(f"{folder} cannot be written to ({error.strerror}): choose another folder") from error
        logger.warning("%s is on a file system without locks: make sure that no other process %s there", folder, does)
