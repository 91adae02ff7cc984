from __future__ import annotations

import errno

import pytest
import torch
from ignite.engine import Engine, Events

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import FailureReporter

# The error that an engine raises, and the one line for it.
EXPLAINED = [
    (OSError(errno.ENOSPC, "No space left on device", "out/events"), ["out/events", "No space left", "--resume true"]),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), ["a file", "quota", "make room"]),
    (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), ["(pid 12)", "num_workers", "--resume"]),
    (RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"), ["12, 13", "num_workers"]),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nand more"), ["GPU", "batch_size"]),
    (InputError("frame.jpg: cannot be read"), ["frame.jpg: cannot be read"]),
]
UNEXPLAINED = [
    RuntimeError("shapes differ"),
    ValueError("DataLoader worker"),
    OSError(errno.EACCES, "denied"),
    KeyError,
]


def _run(error: BaseException | type[BaseException]) -> None:
    def fail(engine: Engine, batch: int) -> None:
        raise error

    engine = Engine(fail)
    FailureReporter().attach(engine)
    engine.run([0])


@pytest.mark.parametrize(("error", "said"), EXPLAINED, ids=lambda value: type(value).__name__)
def test_what_is_explained(error: BaseException, said: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        _run(error)
    assert "\n" not in str(caught.value)
    assert all(text in str(caught.value) for text in said), caught.value


def test_the_caller_says_how_to_continue() -> None:
    def fail(engine: Engine, batch: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out/scores.json")

    engine = Engine(fail)
    FailureReporter(advice="then start it again").attach(engine)
    with pytest.raises(InputError, match=r"^cannot write out/scores.json .*: make room, then start it again$"):
        engine.run([0])


def test_a_full_disk_before_the_first_step() -> None:
    def fail(engine: Engine) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out/training_state.pt")

    engine = Engine(lambda engine, batch: None)
    FailureReporter().attach(engine)
    engine.add_event_handler(Events.STARTED, fail)
    with pytest.raises(InputError, match="start it again as before; nothing was replaced"):
        engine.run([0])


def test_at_failure_is_called_first() -> None:
    def step(engine: Engine, batch: int) -> None:
        assert not done
        if batch:
            raise KeyError

    done: list[int] = []
    engine = Engine(step)
    FailureReporter(at_failure=lambda: done.append(engine.state.iteration)).attach(engine)
    with pytest.raises(KeyError):
        engine.run([0, 1])
    assert set(done) == {2}  # Ignite fires the event twice


@pytest.mark.parametrize("error", UNEXPLAINED, ids=repr)
def test_other_errors_pass_unchanged(error: BaseException) -> None:
    with pytest.raises(type(error) if isinstance(error, BaseException) else error) as caught:
        _run(error)
    assert not isinstance(caught.value, InputError)


def test_a_run_after_one_that_failed_is_not_taken_for_done() -> None:
    def fail(engine: Engine, batch: int) -> None:
        raise InputError("frame.jpg: cannot be read")

    engine = Engine(fail)
    FailureReporter().attach(engine)
    for _ in range(3):
        with pytest.raises(InputError, match="cannot be read"):
            engine.run([0])
