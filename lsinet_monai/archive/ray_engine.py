"""Workers on Ray: on this machine without any set-up, or on a cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lsinet_monai.archive.schedule import Event
from lsinet_monai.archive.segmenter import Outcome, Settings
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.archive.worker import Worker
from lsinet_monai.errors import InputError
from lsinet_monai.utils.cores import available_cores
from lsinet_monai.utils.extras import require_extra

__all__ = ["RayEngine", "import_ray", "ray_session"]

_STORE_BYTES = 100 * 2**20
"""Paths and rows are all that travels through Ray's object store."""

_WAIT = 1.0  # seconds
_TRIES = 3
_KILLED = "it was killed or crashed; if that repeats, the machine's memory may be too small"
_MOST_GPU_CORES = 4
"""What a process with a GPU keeps busy with reading and writing: see docs/scale.md."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default of later versions; without it Ray warns
}


def import_ray() -> Any:
    """Import Ray, so that it reports no usage.

    Raises:
        InputError: it is not installed.
    """
    os.environ.update(_ENVIRONMENT)
    return require_extra("ray", "archive")


@contextlib.contextmanager
def ray_session(address: str | None = None, cores: int | None = None) -> Iterator[str | None]:
    """Start Ray here, or join a cluster, until the block ends. A session that the program has begun is used, and stays.

    Args:
        address: of a cluster, such as "auto" or "10.0.0.1:6379"; None starts Ray on this machine, for this run.
        cores: what Ray shall take for the number of this machine's cores; by default those that the process may use.

    Yields:
        The address of the dashboard, if there is one.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield None
        return
    with _switched_off(ray, address is None):
        yield from _start(ray, address, cores)


@contextlib.contextmanager
def _switched_off(ray: Any, is_here_only: bool) -> Iterator[None]:
    """Keep Ray's messages out of the terminal and, for Ray on this machine alone, its ports off the network.

    Ray has no public switch for the messages of a worker's death. The one for its ports is a variable that it reads
    when it is imported, which a program may have done before.
    """
    switches = [(ray._private.worker, "_worker_logs_enabled")]
    if is_here_only:
        switches.append((ray._private.ray_constants, "ENABLE_RAY_CLUSTER"))
    before = [getattr(module, name, True) for module, name in switches]
    for module, name in switches:
        setattr(module, name, False)
    try:
        yield
    finally:
        for (module, name), value in zip(switches, before, strict=True):
            setattr(module, name, value)


def _start(ray: Any, address: str | None, cores: int | None) -> Iterator[str | None]:
    # Whatever a person must know is in the progress line or the error; the rest is in Ray's log files.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.CRITICAL}
    if address is None:
        options |= {
            "num_cpus": cores or available_cores(),
            "object_store_memory": _STORE_BYTES,
            "include_dashboard": _has_dashboard(),
            "dashboard_host": "127.0.0.1",
        }
    context = _initialise(ray, address, options)
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def _initialise(ray: Any, address: str | None, options: dict[str, Any]) -> Any:
    """Call ``ray.init``. On a busy machine it may need several tries here: it waits for itself for 30 s only."""
    tries = _TRIES if address is None else 1
    for last in (*[False] * (tries - 1), True):
        try:
            return ray.init(address=address or "local", **options)
        except (Exception, SystemExit) as error:  # Ray raises Exception itself, and exits if a cluster is just ending
            ray.shutdown()
            if not last:
                continue
            reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
            if address is None:
                raise InputError(
                    f"Ray does not start here ({reason}): try again on a less busy machine, or with a shorter TMPDIR"
                ) from error
            raise InputError(
                f"--address {address}: no cluster answers there ({reason}). Start one by ray start --head, or leave "
                "--address out"
            ) from error
    raise AssertionError


def _has_dashboard() -> bool:
    """Whether the page of the dashboard can be served, which ``ray[default]`` installs. If not, Ray would not start."""
    try:
        importlib.import_module("ray.dashboard.optional_deps")
    except ImportError:
        return False
    return True


class RayEngine:
    """Workers as Ray's actors, see :class:`~lsinet_monai.archive.schedule.Engine`.

    Args:
        settings: what shapes the results.
        output: the archive's folder.
        model: the hash of the model file.
        workers: how many there may be; by default as many as the machines have room for.
        cpus_per_worker: cores, and threads, of each; by default 1, and with a GPU its share of the machine's, up to 4.
        gpus_per_worker: GPUs of each, which may be a fraction; by default 1 if a machine has one, else 0.
        timeout: the minutes after which a worker is ended that has done no frame in them.

    Raises:
        InputError: no machine has room for a worker.
    """

    def __init__(
        self,
        settings: Settings,
        output: str,
        model: str | None,
        workers: int | None = None,
        cpus_per_worker: int | None = None,
        gpus_per_worker: float | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._ray = import_ray()
        self._timeout = timeout
        self._since: dict[Any, float] = {}  # when a worker got its video
        nodes = self._nodes()
        most_gpus = max((node.get("GPU", 0.0) for node in nodes.values()), default=0.0)
        self._gpus = (1.0 if most_gpus else 0.0) if gpus_per_worker is None else gpus_per_worker
        self._cpus = cpus_per_worker or (self._share_of_cores(nodes) if self._gpus else 1)
        self._workers = workers
        environment = {"OMP_NUM_THREADS": str(self._cpus), "TQDM_DISABLE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        self._actor = self._ray.remote(Worker).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0, runtime_env={"env_vars": environment}
        )
        self._arguments = (settings, output, model, self._cpus, "cuda" if self._gpus else "cpu", timeout)
        self._calls: dict[Any, Any] = {}  # what a worker does now, by Ray's reference to its result
        self._beginning: set[Any] = set()
        self._resting: set[Any] = set()
        self._alive: set[Any] = set()
        if not self.capacity():
            gpus = f" and {self._gpus:g} GPUs" if self._gpus else ""
            raise InputError(
                f"no machine has {self._cpus} cores{gpus} for a worker: give fewer by --cpus-per-worker or "
                "--gpus-per-worker"
            )

    def _nodes(self) -> dict[str, dict[str, float]]:
        """The resources of the machines that are there, by the machines' ids."""
        return {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}

    def _share_of_cores(self, nodes: dict[str, dict[str, float]]) -> int:
        shares = [
            node.get("CPU", 0.0) / max(1.0, node["GPU"] / self._gpus) for node in nodes.values() if node.get("GPU", 0.0)
        ]
        return max(1, min(_MOST_GPU_CORES, int(min(shares, default=1.0))))

    def capacity(self) -> int:
        """How many workers there is room for now, without those that rest."""
        room = 0
        for node in self._nodes().values():
            by_cpu = int(node.get("CPU", 0.0) / self._cpus)
            room += min(by_cpu, int(node.get("GPU", 0.0) / self._gpus)) if self._gpus else by_cpu
        room -= len(self._resting)
        return room if self._workers is None else min(room, self._workers)

    def start(self) -> Any:
        """Begin to start a worker."""
        worker = self._actor.remote(*self._arguments)
        self._alive.add(worker)
        self._since[worker] = time.monotonic()
        self._beginning.add(worker)
        self._calls[worker.begin.remote()] = worker
        return worker

    def submit(self, worker: Any, video: ArchiveVideo) -> None:
        """Give a video to a worker."""
        self._calls[worker.segment.remote(video)] = worker
        self._since[worker] = time.monotonic()

    def rest(self, worker: Any) -> None:
        """Keep a worker without a video in its place."""
        self._resting.add(worker)
        self._calls[worker.rest.remote()] = worker

    def end(self, worker: Any) -> None:
        """End a worker."""
        self._calls = {call: other for call, other in self._calls.items() if other is not worker}
        self._kill(worker)

    def close(self) -> None:
        """End all workers, those that rest too: Ray may outlive the run."""
        for worker in list(self._alive):
            with contextlib.suppress(Exception):  # Ray itself may be gone
                self.end(worker)

    def _kill(self, worker: Any) -> None:
        self._alive.discard(worker)
        self._ray.kill(worker)

    def wait(self) -> Sequence[Event]:
        """Wait for a worker, for at most a second."""
        if not self._calls:  # every machine is gone
            time.sleep(_WAIT)
            return []
        done, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=_WAIT)
        return [self._event(call) for call in done]

    def _event(self, call: Any) -> Event:
        worker = self._calls.pop(call)
        is_first = worker in self._beginning
        self._beginning.discard(worker)
        self._resting.discard(worker)
        seconds = time.monotonic() - self._since.pop(worker, time.monotonic())
        try:
            outcome: Outcome = self._ray.get(call)
        except self._ray.exceptions.ActorDiedError as error:
            self._alive.discard(worker)
            reason = _reason(error)
            if _is_of_machine(error):
                return Event(worker, "lost", reason=reason)
            if reason == _KILLED and seconds >= 60 * self._timeout:
                reason = f"it was killed or crashed, or did no frame for {self._timeout:g} minutes"
            return Event(worker, "died", reason=reason)
        except self._ray.exceptions.ActorUnavailableError as error:
            # Its machine or the network is gone, for now. If it comes back, another worker has its video.
            self._kill(worker)
            return Event(worker, "lost", reason=_reason(error))
        except self._ray.exceptions.RayError as error:
            # The worker is there, but does not answer as it should.
            self._kill(worker)
            return Event(worker, "died", reason=_reason(error))
        return Event(worker, "ready" if is_first else "outcome", outcome)


def _is_of_machine(error: Any) -> bool:
    """Whether a worker died with its machine."""
    text = str(error)
    return bool(getattr(error, "preempted", False)) or "node has died" in text or "node was terminated" in text


def _reason(error: BaseException) -> str:
    """What a person can use of Ray's long explanations."""
    text = str(error)
    if ("OOM" in text and "memory usage threshold" in text) or "OutOfMemory" in type(error).__name__:
        return "killed by Ray, because the machine's memory was nearly full"
    found = next((line for line in text.splitlines() if line.startswith("The actor is dead because")), None)
    if found and "unexpectedly exits" in found:
        return _KILLED
    return (found or text.strip().rpartition("\n")[2] or type(error).__name__).partition(" Worker exit detail")[0]
