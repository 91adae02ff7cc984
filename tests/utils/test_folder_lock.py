from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lsinet_monai.errors import InputError
from lsinet_monai.utils.folder_lock import acquire_folder

HOLD = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(timeout=0); print(); input()"


def acquire(lock: FileLock) -> None:
    acquire_folder(lock, "videos/.lock", "studies 'videos'", "serves", "end it", 0.1)


def test_a_process_keeps_others_out_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    lock = FileLock(path)
    with pytest.raises(InputError) as caught:
        acquire(lock)
    said = "another process serves in studies 'videos': end it. If none does on any machine, delete 'videos/.lock'"
    assert str(caught.value) == said
    other.kill()
    other.communicate()
    acquire(lock)
    assert lock.is_locked


ERRORS: list[tuple[Exception, str | None]] = [
    (PermissionError(errno.EACCES, "Permission denied"), r"'videos' cannot be written to \(Permission denied\)"),
    (OSError(errno.ENOLCK, "No locks available"), None),
    (NotImplementedError("no flock"), None),
]


@pytest.mark.parametrize(("error", "said"), ERRORS)
def test_folders_without_a_lock(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    said: str | None,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    lock = FileLock(tmp_path / ".lock")
    monkeypatch.setattr("filelock.FileLock.acquire", fail)
    if said is not None:
        with pytest.raises(InputError, match=said):
            acquire(lock)
    else:
        acquire(lock)
        assert "is on a file system without locks: make sure that no other process serves there" in caplog.text
