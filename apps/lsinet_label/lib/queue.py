"""Jobs for one device: a queue, one worker thread, and turns for everybody."""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib.errors import NotFound
from lib.job import Job, Work
from lsinet_monai.errors import InputError, describe_no_room
from lsinet_monai.utils.files import atomic_write

__all__ = ["JobQueue"]

logger = logging.getLogger(__name__)

_ENDED = ("done", "failed", "cancelled")
_KEPT = 500  # jobs that have ended
_SAVE_SECONDS = 2.0


def _with_note(message: str, note: str) -> str:
    return f"{message}: {note}" if note else message


@dataclass
class _Open:
    """A job that has begun."""

    work: Work
    begun: float = field(default_factory=time.monotonic)
    first_progress: float | None = None
    saved: float = 0.0


class JobQueue:
    """Jobs for one device. One thread works on them; all methods may be called from any thread.

    Owners take turns: after a slice of time the next owner's job continues, so an hour of video does not keep others
    waiting. Among the jobs of one owner, propagation comes first, because a person waits for it; then the oldest. Two
    jobs on one video run one after the other.

    Each job is a file; the files of the last ended jobs are kept. After a restart of the server unfinished jobs resume.
    Jobs that another process writes into the folder are queued too.

    Args:
        folder: where the jobs' files are.
        start: makes the work of a job.
        on_end: called with each job that is done, failed or cancelled.
        device: a context manager that is held during a turn.
        slice_seconds: the length of a turn, which does at least one small piece of work.
    """

    def __init__(
        self,
        folder: Path,
        start: Callable[[Job], Work],
        on_end: Callable[[Job], None] = lambda job: None,
        device: AbstractContextManager[Any] | None = None,
        slice_seconds: float = 3.0,
    ) -> None:
        self.folder = folder
        self._start = start
        self._on_end = on_end
        self._device = nullcontext() if device is None else device
        self._slice_seconds = slice_seconds
        self._jobs: dict[str, Job] = {}
        self._open: dict[str, _Open] = {}
        self._turns: dict[str, float] = {}
        self._lock = threading.RLock()
        self._news = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._scan()

    # For all threads -------------------------------------------------------------------------------------------------

    def submit(
        self,
        image: str,
        kind: str,
        frame: int | None = None,
        user: str = "",
        owner: str = "",
        within: list[int] | None = None,
        version: int | None = None,
    ) -> Job:
        """Queue a job, unless the same job is in the queue already.

        A running annotation is the same job, too. A running propagation is so if it works on the same version of the
        correction: otherwise it started before the newest one.

        Args:
            image: the video's id.
            kind: ``annotate``, ``propagate`` or ``label``.
            frame: the frame to propagate from; None for all corrected ones.
            user: who asks.
            owner: whose turns the job takes; the user's by default.
            within: the only frames to propagate to: the first one, and the one after the last.
            version: the version of the correction to propagate; None starts the job again if it is running.

        Returns:
            the job.
        """
        with self._lock:
            for job in self._jobs.values():
                is_current = kind == "annotate" or (version is not None and job.version == version)
                is_early = job.state == "queued" or (job.state == "running" and is_current)
                if is_early and (job.image, job.kind, job.frame, job.within) == (
                    image, kind, frame, within,
                ):  # fmt: skip
                    job.version = version
                    return job
            job = Job(secrets.token_hex(8), image, kind, frame, user, owner or user, time.time())
            job.within, job.version = within, version
            self._save(job)
            self._jobs[job.job] = job
        self._news.set()
        return job

    def __getitem__(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            NotFound: there is no such job, or it ended long ago.
        """
        with self._lock:
            if job_id not in self._jobs:
                raise NotFound(f"job {job_id!r} is not known: it may have ended long ago")
            return self._jobs[job_id]

    def jobs(self) -> list[Job]:
        """All known jobs, the oldest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.created)

    def of_image(self, image: str) -> Job | None:
        """The active job that changes a video's masks: the running one, else a waiting one; None without one."""
        jobs = [job for job in self.jobs() if job.image == image and job.kind != "label" and job.state not in _ENDED]
        return max(jobs, key=lambda job: job.state == "running", default=None)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job. What it has stored so far stays; its message says what that is, once it has come to its end.

        Raises:
            NotFound: there is no such job.
        """
        job = self[job_id]
        self._end(job, "cancelled", "cancelled")
        self._news.set()
        return job

    def remove(self, image: str) -> None:
        """Cancel the jobs of a video, and wait until the worker has stopped working on them."""
        ids = [job.job for job in self.jobs() if job.image == image]
        for job_id in ids:
            self.cancel(job_id)
        self.wait_for_end(ids)

    def wait_for_end(self, job_ids: Collection[str], seconds: float = math.inf) -> None:
        """Wait until the worker has stopped working on cancelled jobs.

        Args:
            job_ids: the jobs.
            seconds: how long to wait at most.
        """
        end = time.monotonic() + seconds
        while self._thread is not None and self._thread.is_alive() and not self._open.keys().isdisjoint(job_ids):
            if time.monotonic() > end:
                return
            time.sleep(0.02)

    def wait(self, job: Job, seconds: float, longest: float | None = None) -> bool:
        """Block until a job ends.

        Args:
            job: the job.
            seconds: how long to wait at most.
            longest: do not wait if the job is expected to need more seconds than this.

        Returns:
            Whether it ended.
        """
        end = time.monotonic() + seconds
        while job.state not in _ENDED and time.monotonic() < end:
            if longest is not None and (job.seconds_left or 0) > longest:
                return False
            time.sleep(0.1)
        return job.state in _ENDED

    def reread(self, job: Job) -> Job:
        """Read the job's current state from its file: another process may be working on it.

        Raises:
            NotFound: the file was removed.
        """
        try:
            return Job(**json.loads((self.folder / f"{job.job}.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise NotFound(f"job {job.job!r} was removed") from None

    # The worker ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the worker thread."""
        self._thread = threading.Thread(target=self._work, name="lsinet-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker thread. Running jobs resume when the next queue opens this folder."""
        self._stopping = True
        self._news.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping:
            try:
                self._scan()
                job = self._next()
                if job is None:
                    self._news.wait(1.0)
                    self._news.clear()
                else:
                    with self._device:
                        self._turn(job)
            except Exception:
                logger.exception("the queue of jobs met an error and continues")
                time.sleep(1.0)

    def _next(self) -> Job | None:
        """The job to work on next: the first job of the owner whose turn it is."""
        # To close the work can take long, so it is done without the lock. Only this thread changes what is open.
        for job in [self._jobs[job_id] for job_id in self._open if self._jobs[job_id].state in _ENDED]:
            self._close(job)
        with self._lock:
            held = {self._jobs[job_id].image: job_id for job_id in self._open}
            ready = [
                job for job in self.jobs()
                if job.state not in _ENDED and held.get(job.image, job.job) == job.job
            ]  # fmt: skip
            if not ready:
                return None
            owner = min((job.owner for job in ready), key=lambda owner: self._turns.get(owner, 0.0))
            mine = [job for job in ready if job.owner == owner]
            return min(mine, key=lambda job: (job.kind != "propagate", job.created))

    def _close(self, job: Job) -> None:
        """Close the work of an ended job, and keep what a cancelled one says of it."""
        try:
            self._open[job.job].work.close()
            if job.state == "cancelled" and job.note:
                job.message = _with_note("cancelled", job.note)
                self._save(job)
        finally:
            self._open.pop(job.job)

    def _turn(self, job: Job) -> None:
        """Work on a job for the length of a turn."""
        self._turns[job.owner] = time.monotonic()
        end = time.monotonic() + self._slice_seconds
        try:
            if job.job not in self._open:
                job.state, job.message = "running", "starting"
                self._save(job)
                self._open[job.job] = _Open(self._start(job))
            opened = self._open[job.job]
            while True:
                progress, message = next(opened.work)
                with self._lock:
                    if job.state != "running":
                        return
                    self._report(job, opened, progress, message)
                if time.monotonic() >= end or self._stopping:
                    return
        except StopIteration as stop:
            job.changed = stop.value
            self._end(job, "done", _with_note("done", job.note))
        except InputError as error:
            self._end(job, "failed", str(error))
        except Exception as error:
            logger.exception("job %s failed", job.job)
            reason = f"{type(error).__name__}: {error}"
            if describe_no_room(error):  # annotators do not need the path, which is in the log
                reason = "the server's disk is full: make room, then start this job again"
            self._end(job, "failed", reason.partition("\n")[0])

    def _report(self, job: Job, opened: _Open, progress: float, message: str) -> None:
        now = time.monotonic()
        if opened.first_progress is None:
            opened.first_progress, opened.begun = progress, now
        done = progress - opened.first_progress
        job.progress, job.message = progress, message
        # By the clock, so that the turns of others count.
        job.seconds_left = (now - opened.begun) / done * (1 - progress) if done > 0 else None
        if now - opened.saved > _SAVE_SECONDS:
            opened.saved = now
            self._save(job)

    def _end(self, job: Job, state: str, message: str) -> None:
        with self._lock:
            if job.state in _ENDED:
                return
            job.state, job.message, job.seconds_left = state, message, None
            if state == "done":
                job.progress, job.seconds_left = 1.0, 0.0
            try:
                self._save(job)
            except OSError:
                logger.exception("the end of job %s cannot be written", job.job)
        self._on_end(job)

    # The files -------------------------------------------------------------------------------------------------------

    def _save(self, job: Job) -> None:
        with atomic_write(self.folder / f"{job.job}.json") as temporary:
            temporary.write_text(json.dumps(asdict(job)), encoding="utf-8")

    def _scan(self) -> None:
        """Queue the jobs of files that are new, and forget jobs that ended long ago."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("[0-9a-f]*.json"):
            if path.stem in self._jobs:
                continue
            try:
                job = Job(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                logger.warning("%s is not a job's file and is ignored", path)
                continue
            if job.state == "running":
                job.state, job.message = "queued", "resumes after a restart"
            with self._lock:  # one that is being submitted is known by now
                self._jobs.setdefault(job.job, job)
        with self._lock:
            ended = [job for job in self.jobs() if job.state in _ENDED]
            for job in ended[:-_KEPT]:
                del self._jobs[job.job]
                (self.folder / f"{job.job}.json").unlink(missing_ok=True)
