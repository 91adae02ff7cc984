"""Checks before the server starts: its port and its folder, and that no other server uses them."""

from __future__ import annotations

import argparse
import errno
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from lsinet_monai.errors import InputError, find_input_error
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.utils.folder_lock import acquire_folder

__all__ = [
    "check_one_process",
    "check_port",
    "check_writable_folders",
    "is_server",
    "lock_studies",
    "report_refusals_in_one_line",
    "server_host",
]

_WORKERS = "WEB_CONCURRENCY"
"""The variable by which uvicorn takes the number of processes without ``--workers``."""
_LAST_PORT = 65535
_HOST_WAY_OUT = "give --host 127.0.0.1, or 0.0.0.0 for all addresses of this machine"
_WAIT = 3.0
"""Seconds to wait for the lock of a server that is about to end."""


def report_refusals_in_one_line() -> None:
    """Report an InputError at the start by its message, without a traceback, in the server and its tasks' processes.

    A second call changes nothing.
    """
    report_input_errors_in_one_line()
    logging.getLogger("uvicorn.error").addFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    """Replace the traceback that uvicorn logs when the app does not start."""
    error = find_input_error(sys.exc_info()[1])
    if error is not None and record.levelno >= logging.ERROR:
        record.msg, record.args, record.exc_info = f"error: {error}", (), None
    return True


def check_writable_folders(studies: Path, *folders: Path) -> None:
    """Make the folders that the server writes to, and check that it can.

    Args:
        studies: the videos' folder.
        folders: others in it.

    Raises:
        InputError: one of them cannot be written to, or ``studies`` is a file.
    """
    if studies.exists() and not studies.is_dir():
        raise InputError(f"studies folder '{studies}' is a file: give the folder of the videos with --studies")
    for folder in (studies, *folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InputError(
                f"studies folder '{studies}': '{folder}' cannot be written to ({error.strerror}): let the server's "
                "user write there, or give another folder with --studies"
            ) from error


def lock_studies(studies: Path, folder: Path) -> FileLock:
    """Keep other servers out of a folder of videos, for as long as this process lives.

    Args:
        studies: the videos' folder.
        folder: the app's own folder in it, where the lock lies.

    Returns:
        the lock. It is released when nothing refers to it any more.

    Raises:
        InputError: another server has the folder.
    """
    file = folder / ".server.lock"
    lock = FileLock(file)
    way_out = "use that server, end it, or give another folder with --studies"
    acquire_folder(lock, file, f"studies folder '{studies}'", "serves the videos", way_out, _WAIT)
    return lock


def server_host() -> str:
    """The address to listen at, from MONAI Label's command line. MONAI Label's settings have only the port."""
    return str(_command_line().host)


def is_server() -> bool:
    """Whether this process was started as the server, and not for one of its tasks."""
    return "start_server" in sys.argv


def check_one_process() -> None:
    """Check that the server runs in one process, because one process holds the videos' masks and jobs.

    Raises:
        InputError: MONAI Label's command line, or uvicorn's variable, asks for several.
    """
    given = _command_line().workers
    workers = int(os.environ.get(_WORKERS, 1)) if given is None else given
    if workers > 1:
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid is not None:
            os.kill(parent.pid, signal.SIGTERM)  # it would start others in place of this one, again and again
        name = f"{_WORKERS}={workers}" if given is None else f"--workers {workers}"
        raise InputError(f"{name}: one process answers all calls of this app: leave it out")


def _command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-i", "--host", default="0.0.0.0")
    parser.add_argument("--workers", type=int)
    return parser.parse_known_args()[0]


def check_port(host: str, port: int) -> None:
    """Check that the server can listen, before the app starts to work. Uvicorn tries only after that.

    Args:
        host: the address to listen at.
        port: the port; 0 for any.

    Raises:
        InputError: another program listens there, or this user may not; there is no such port, or the address is not
            one of this machine.
    """
    if not 0 <= port <= _LAST_PORT:
        raise InputError(f"port {port} does not exist: give one from 1 to {_LAST_PORT} with --port")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InputError(f"host {host} is not known ({error.strerror}): {_HOST_WAY_OUT}") from error
    missing = 0
    for family, _, _, _, address in addresses:
        try:
            socket.create_server(address[:2], family=family).close()
        except OSError as error:  # uvicorn passes over addresses that this machine does not have, if it has another
            missing += error.errno == errno.EADDRNOTAVAIL
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise InputError(
                    f"port {port} of {host} cannot be used ({os.strerror(error.errno)}): end the program that listens "
                    "there, or give another port with --port"
                ) from error
    if missing == len(addresses):
        raise InputError(f"host {host} is not an address of this machine: {_HOST_WAY_OUT}")
