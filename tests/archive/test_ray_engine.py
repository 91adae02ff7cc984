"""Ray: what it is told before it starts, and how its errors read."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import ClassVar

import pytest

from lsinet_monai.archive import ray_engine
from lsinet_monai.archive.ray_engine import RayEngine, import_ray, ray_session
from lsinet_monai.archive.segmenter import Settings
from lsinet_monai.errors import InputError

MACHINES = [
    {"NodeID": "a", "Alive": True, "Resources": {"CPU": 16.0, "GPU": 4.0}},
    {"NodeID": "b", "Alive": True, "Resources": {"CPU": 8.0}},
    {"NodeID": "c", "Alive": False, "Resources": {"CPU": 8.0}},
]

# the machines, what is given, and the number of workers, with the cores and GPUs of each
ROOMS = [
    (MACHINES[1:], {}, (8, 1, 0.0)),
    (MACHINES[1:], {"cpus_per_worker": 3}, (2, 3, 0.0)),
    (MACHINES[1:], {"workers": 3}, (3, 1, 0.0)),
    (MACHINES[1:], {"workers": 30}, (8, 1, 0.0)),
    (MACHINES, {}, (4, 4, 1.0)),
    (MACHINES, {"gpus_per_worker": 0.5}, (8, 2, 0.5)),
    (MACHINES, {"gpus_per_worker": 0}, (24, 1, 0.0)),
    (MACHINES, {"gpus_per_worker": 2, "cpus_per_worker": 1}, (2, 1, 2.0)),
]


class _Ray:
    """As much of Ray as an engine needs that starts no worker."""

    def __init__(self, machines: list[dict[str, object]]) -> None:
        self.machines = machines

    def nodes(self) -> list[dict[str, object]]:
        return self.machines

    def remote(self, _: type) -> _Ray:
        return self

    def options(self, **_: object) -> _Ray:
        return self


@pytest.mark.parametrize(("machines", "given", "room"), ROOMS)
def test_as_many_workers_as_the_machines_have_room_for(
    machines: list[dict[str, object]],
    given: dict[str, float],
    room: tuple[int, int, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_engine, "import_ray", lambda: _Ray(machines))
    engine = RayEngine(Settings("model.pt"), "out", None, **given)  # type: ignore[arg-type]
    assert (engine.capacity(), engine._cpus, engine._gpus) == room


def test_no_machine_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "import_ray", lambda: _Ray(MACHINES[1:]))
    with pytest.raises(InputError, match="no machine has 9 cores for a worker: give fewer by --cpus-per-worker"):
        RayEngine(Settings("model.pt"), "out", None, cpus_per_worker=9)
    with pytest.raises(InputError, match=r"no machine has 1 cores and 0\.5 GPUs for a worker"):
        RayEngine(Settings("model.pt"), "out", None, gpus_per_worker=0.5)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'^ray is not installed: pip install "lsinet_monai\[archive\]"$'):
        import_ray()


@pytest.mark.slow
@pytest.mark.required_in_ci
def test_no_cluster_answers() -> None:
    pytest.importorskip("ray", reason='Ray is missing: pip install ".[archive]"')
    said = r"^--address auto: no cluster answers there \(.*\)\. Start one by ray start --head, or leave --address out$"
    with pytest.raises(InputError, match=said), ray_session("auto"):
        pass


@pytest.mark.parametrize(("failures", "is_started"), [(0, True), (2, True), (3, False)])
def test_ray_may_need_several_tries_to_start_here(failures: int, is_started: bool) -> None:
    class Slow:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def init(self, **options: object) -> str:
            self.calls.append("init")
            if self.calls.count("init") <= failures:
                raise Exception("The current node timed out during startup.")
            return "context"

        def shutdown(self) -> None:
            self.calls.append("shutdown")

    slow = Slow()
    if is_started:
        assert ray_engine._initialise(slow, None, {}) == "context"
    else:
        with pytest.raises(InputError, match=r"^Ray does not start here \(The current node timed out"):
            ray_engine._initialise(slow, None, {})
    assert slow.calls.count("shutdown") == failures


class _RayError(Exception):
    pass


class _ActorDiedError(_RayError):
    pass


class _ActorUnavailableError(_RayError):
    pass


@pytest.mark.parametrize(
    ("error", "kind", "is_killed"),
    [
        (_ActorUnavailableError("The actor is unavailable"), "lost", True),
        (_ActorDiedError("The actor is dead because its node has died."), "lost", False),
        (_ActorDiedError("it was killed"), "died", False),
        (_RayError("no answer"), "died", True),
    ],
)
def test_what_an_error_of_ray_means(
    error: Exception, kind: str, is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot be reached has lost its machine: the video is not at fault."""

    class Failing(_Ray):
        exceptions = SimpleNamespace(
            RayError=_RayError, ActorDiedError=_ActorDiedError, ActorUnavailableError=_ActorUnavailableError
        )
        killed: ClassVar[list[object]] = []

        def get(self, _: object) -> None:
            raise error

        def kill(self, worker: object) -> None:
            self.killed.append(worker)

    ray = Failing(MACHINES)
    monkeypatch.setattr(ray_engine, "import_ray", lambda: ray)
    Failing.killed = []
    engine = RayEngine(Settings("model.pt"), "out", None)
    engine._calls["call"] = "worker"
    assert engine._event("call").kind == kind
    assert ray.killed == (["worker"] if is_killed else [])


def test_a_death_after_the_time_limit_may_be_one_of_a_video_that_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(_Ray):
        exceptions = SimpleNamespace(ActorDiedError=_ActorDiedError)
        text = ""

        def get(self, _: object) -> None:
            raise _ActorDiedError(self.text)

    monkeypatch.setattr(ray_engine, "import_ray", lambda: Failing(MACHINES))
    engine = RayEngine(Settings("model.pt"), "out", None, timeout=30)
    killed = "The actor is dead because its worker process has died: Worker unexpectedly exits"
    for minutes, text, said in (
        (29, killed, "it was killed or crashed; if that repeats, the machine's memory may be too small"),
        (31, killed, "it was killed or crashed, or did no frame for 30 minutes"),
        (31, "OOM: the memory usage threshold", "killed by Ray, because the machine's memory was nearly full"),
    ):
        Failing.text = text
        engine._calls["call"] = "worker"
        engine._since["worker"] = time.monotonic() - 60 * minutes
        assert engine._event("call").reason == said


class _Died(Exception):
    preempted = False


@pytest.mark.parametrize(
    ("text", "is_of_machine", "reason"),
    [
        (
            "The actor died unexpectedly before finishing this task.\nThe actor is dead because its worker process "
            "has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with an error",
            False,
            "it was killed or crashed; if that repeats, the machine's memory may be too small",
        ),
        (
            "The actor died unexpectedly before finishing this task.\nThe actor is dead because its node has died. "
            "Node Id: abc",
            True,
            "The actor is dead because its node has died. Node Id: abc",
        ),
        (
            "Task was killed due to the node running low on memory.\nOOM: the memory usage threshold 0.95 was reached",
            False,
            "killed by Ray, because the machine's memory was nearly full",
        ),
    ],
)
def test_what_people_are_told_of_a_death(text: str, is_of_machine: bool, reason: str) -> None:
    assert ray_engine._is_of_machine(_Died(text)) == is_of_machine
    assert ray_engine._reason(_Died(text)) == reason
