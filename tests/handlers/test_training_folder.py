from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import training_folder
from lsinet_monai.handlers.training_folder import TrainingFolder

LOCK = ".training.lock"
CURVES = "events.out.tfevents.1.host.1.0"


def _no_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def _no_flock(*_: Any, **__: Any) -> None:
    raise NotImplementedError("FileSystem does not appear to support flock")


# The errors of a file system without locks: today, and in older releases of filelock.
NO_LOCKS = [("fcntl.flock", _no_locks), ("filelock.FileLock.acquire", _no_flock)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[TrainingFolder]:
    folder = TrainingFolder(tmp_path / "out")
    yield folder
    folder.leave()


@contextmanager
def _locked_by_another_process(folder: TrainingFolder) -> Iterator[None]:
    program = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(timeout=0); print(); input()"
    command = [sys.executable, "-u", "-c", program, str(folder.path / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline()
        yield
        other.stdin.close()


def test_a_new_folder_is_made_and_taken(folder: TrainingFolder) -> None:
    folder.make()
    assert [path.name for path in folder.path.iterdir()] == [LOCK]
    assert folder.find_state() is None
    folder.leave()
    with _locked_by_another_process(folder):
        pass


@pytest.mark.parametrize("name", ["training_state.pt", "checkpoint.pt"])
def test_a_training_is_replaced_only_if_asked_for(folder: TrainingFolder, name: str) -> None:
    folder.path.mkdir()
    for other in (name, CURVES, "notes.txt"):
        (folder.path / other).touch()
    assert folder.find_state() == folder.path / name
    with pytest.raises(InputError, match=r"holds a training: --resume true continues it, --overwrite true starts"):
        folder.make()
    folder.make(overwrite=True)
    assert (folder.path / name).exists() and (folder.path / CURVES).exists()  # until there is a new state
    folder.state.write_text("new")
    folder.remove_replaced()
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "notes.txt", "training_state.pt"]


def test_the_state_of_today_comes_before_an_earlier_versions(folder: TrainingFolder) -> None:
    folder.path.mkdir()
    for name in ("training_state.pt", "checkpoint.pt"):
        (folder.path / name).touch()
    assert folder.find_state() == folder.state
    folder.remove_replaced()
    assert [path.name for path in folder.path.iterdir()] == ["training_state.pt"]


def test_what_a_training_leaves_before_its_first_state_does_not_count(folder: TrainingFolder) -> None:
    folder.path.mkdir()
    (folder.path / CURVES).touch()
    with pytest.raises(InputError, match="holds files that this run did not write"):
        folder.make()
    for name in (LOCK, ".training_state.pt.tmp", ".checkpoint.pt.tmp"):
        (folder.path / name).touch()
    full = folder.path / "events.out.tfevents.1.host.1.1"
    full.write_bytes(bytes(20_000))
    with pytest.raises(InputError, match=rf"e\.g\. '{full.name}'"):
        folder.make()
    full.unlink()
    folder.make()


def test_one_process_at_a_time_takes_it(folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_folder, "WAIT", 0.1)
    folder.path.mkdir()
    folder.state.write_text("state")
    with _locked_by_another_process(folder):
        said = "another process trains in output_dir .* delete '.*training.lock'$"
        with pytest.raises(InputError, match=said), folder.take():
            pytest.fail("taken")
        with pytest.raises(InputError, match=said):
            folder.make(overwrite=True)
    with folder.take():
        assert folder.state.read_text() == "state"


def test_it_is_left_after_an_error(folder: TrainingFolder) -> None:
    folder.path.mkdir()
    folder.state.touch()
    with pytest.raises(ZeroDivisionError), folder.take():
        raise ZeroDivisionError
    with _locked_by_another_process(folder):
        pass


def test_a_state_that_appears_while_the_folder_is_waited_for_is_kept(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.path.mkdir()
    (folder.path / LOCK).touch()
    acquire = filelock.FileLock.acquire

    def wait(*arguments: Any, **options: Any) -> Any:
        folder.state.write_text("another training's")
        return acquire(*arguments, **options)

    monkeypatch.setattr("filelock.FileLock.acquire", wait)
    with pytest.raises(InputError, match="holds a training"):
        folder.make()
    assert folder.state.read_text() == "another training's"
    with _locked_by_another_process(folder):
        pass


@pytest.mark.parametrize(("name", "fail"), NO_LOCKS)
def test_without_locks_there_is_a_warning(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, fail: Any
) -> None:
    monkeypatch.setattr(name, fail)
    folder.make()
    assert caplog.text.count("make sure that no other process trains there") == 1


def test_a_folder_that_cannot_be_written_to(folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "out/.training.lock")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.raises(InputError, match=r"cannot be written to \(Permission denied\)"):
        folder.make()


def test_there_is_nothing_to_resume(folder: TrainingFolder) -> None:
    with pytest.raises(InputError, match=r"resume=true, but there is no '.*training_state\.pt'"), folder.take():
        pytest.fail("taken")
    assert not folder.path.exists()
