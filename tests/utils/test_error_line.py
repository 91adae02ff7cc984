from __future__ import annotations

import errno
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest
from ignite.engine import Engine
from tqdm import tqdm

from lsinet_monai.errors import InputError
from lsinet_monai.utils.error_line import report_input_errors_in_one_line

RAISED_BY_THREADS = [
    (OSError(errno.ENOSPC, "No space left"), "error: cannot write a file (No space left): make room\n"),
    (OSError(errno.EFBIG, "File too large", "file:log"), "error: cannot write log (File too large): make room\n"),
    (ValueError("wrong"), "previous hook\n"),
]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What one handler of the root logger writes, once errors are reported in one line; undone afterwards."""
    text = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(text)])
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: print("previous hook", file=sys.stderr))
    monkeypatch.setattr(threading, "excepthook", lambda raised: print("previous hook", file=sys.stderr))
    report_input_errors_in_one_line()
    report_input_errors_in_one_line()
    yield text


def test_an_input_error_is_reported_in_one_line(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("Failed to evaluate") from InputError("frame.png: is empty; replace it")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == "error: frame.png: is empty; replace it\n"


def test_an_interruption_is_reported_in_one_line(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "interrupted; --resume true continues a training or an inference\n"


def test_a_full_disk_is_reported_in_one_line(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("Failed to evaluate") from OSError(errno.ENOSPC, "No space left", "scores.json")
    except RuntimeError as error:
        logging.getLogger("ignite.engine.engine").error("terminating")
        sys.excepthook(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == "error: cannot write scores.json (No space left): make room\n"
    assert not log.getvalue()


def test_a_progress_bar_does_not_share_the_line(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    bar = tqdm(total=3)
    bar.update()
    sys.excepthook(InputError, InputError("wrong"), None)
    del bar
    assert capsys.readouterr().err.endswith("\nerror: wrong\n")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("error", "said"), RAISED_BY_THREADS)
def test_a_thread_that_finds_the_disk_full(
    log: io.StringIO, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def fail() -> NoReturn:
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == said


def test_another_error_goes_to_the_hook_before(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    sys.excepthook(ValueError, ValueError("wrong"), None)
    assert capsys.readouterr().err == "previous hook\n"


@pytest.mark.parametrize(("error", "has_traceback"), [(InputError("wrong"), False), (ValueError("wrong"), True)])
def test_no_traceback_of_an_input_error_is_logged(log: io.StringIO, error: Exception, has_traceback: bool) -> None:
    try:
        raise RuntimeError from error
    except RuntimeError:
        logging.getLogger("some.engine").exception("stopped")
    assert log.getvalue().startswith("stopped\n")
    assert ("Traceback" in log.getvalue()) == has_traceback


@pytest.mark.parametrize(("error", "is_logged"), [(InputError("wrong"), False), (ValueError("wrong"), True)])
def test_ignite_does_not_log_that_an_input_error_ends_a_run(
    log: io.StringIO, error: Exception, is_logged: bool
) -> None:
    def step(engine: Engine, batch: int) -> None:
        logging.getLogger("some.engine").error("said")
        raise error

    with pytest.raises(type(error)):
        Engine(step).run([0])
    assert "said\n" in log.getvalue()
    assert ("terminating due to exception: wrong" in log.getvalue()) == is_logged
