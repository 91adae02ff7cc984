"""The queue: turns, restarts, and errors that end one job only."""

from __future__ import annotations

import errno
import json
import threading

import pytest
from lib.errors import NotFound
from lib.job import Job
from lib.queue import JobQueue

from lsinet_monai.errors import InputError


def steps(count, log=None, name=""):
    for step in range(1, count + 1):
        if log is not None:
            log.append(name)
        yield step / count, f"step {step}"
    return [{"frame": 0, "change": 1.0}]


def endless(job):
    """Work in small pieces that ends by a cancellation alone."""
    pause = threading.Event()
    while True:
        pause.wait(0.001)
        yield 0.5, "half"


@pytest.fixture
def wait(wait_until):
    """Waits until jobs have ended."""
    return lambda jobs: wait_until(lambda: all(job.state in ("done", "failed", "cancelled") for job in jobs))


@pytest.fixture
def run(tmp_path):
    """Starts a queue whose jobs do the work of a function."""
    queues = []

    def start(work, **options):
        queue = JobQueue(tmp_path, work, **options)
        queues.append(queue)
        queue.run()
        return queue

    yield start
    for queue in queues:
        queue.stop()


def test_a_job_is_done(run, wait):
    queue = run(lambda job: steps(3))
    job = queue.submit("a", "annotate", user="ann")
    wait([job])
    assert (job.state, job.progress, job.changed) == ("done", 1.0, [{"frame": 0, "change": 1.0}])
    assert json.loads((queue.folder / f"{job.job}.json").read_text())["state"] == "done"
    assert "owner" not in job.public()


def test_one_owner_with_many_jobs_does_not_delay_another(tmp_path, wait):
    log = []
    queue = JobQueue(tmp_path, lambda job: steps(5, log, job.image), slice_seconds=0)
    many = [queue.submit(f"many{i}", "annotate", owner="x") for i in range(10)]
    one = queue.submit("one", "annotate", owner="y")
    queue.run()
    wait([*many, one])
    queue.stop()
    assert log.index("many1") > max(i for i, name in enumerate(log) if name == "one")


def test_propagation_comes_before_the_owners_long_jobs(tmp_path, wait):
    log = []
    queue = JobQueue(tmp_path, lambda job: steps(1, log, job.kind))
    jobs = [queue.submit("a", "annotate"), queue.submit("b", "annotate"), queue.submit("c", "propagate", 3)]
    queue.run()
    wait(jobs)
    queue.stop()
    assert log == ["propagate", "annotate", "annotate"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("v.mp4: is damaged"), "v.mp4: is damaged"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the server's disk is full: make room, then start this job again",
        ),
        (RuntimeError("a\nb"), "RuntimeError: a"),
    ],
)
def test_an_error_ends_its_own_job_only(run, wait, error, message):
    def work(job):
        if job.image == "bad":
            raise error
        return steps(2)

    queue = run(work)
    bad, good = queue.submit("bad", "annotate"), queue.submit("good", "annotate")
    wait([bad, good])
    assert (bad.state, bad.message, good.state) == ("failed", message, "done")


def test_a_cancelled_job_is_closed(run, wait_until):
    closed = []

    def work(job):
        try:
            yield from endless(job)
        finally:
            closed.append(job.image)

    queue = run(work, slice_seconds=0)
    job = queue.submit("a", "annotate")
    wait_until(lambda: job.state == "running")
    queue.cancel(job.job)
    after = queue.submit("b", "annotate")
    wait_until(lambda: after.state == "running")
    queue.cancel(after.job)
    assert (job.state, closed[:1]) == ("cancelled", ["a"])


def test_jobs_resume_after_a_restart(run, wait, wait_until):
    before = run(endless)
    running = before.submit("running", "propagate", 4, "ann")
    wait_until(lambda: running.state == "running")
    waiting = before.submit("waiting", "annotate")
    before.stop()
    assert (running.state, waiting.state) == ("running", "queued")

    again = run(lambda job: steps(2))
    jobs = [again[waiting.job], again[running.job]]
    wait(jobs)
    assert [job.state for job in jobs] == ["done", "done"]
    assert (jobs[1].frame, jobs[1].user) == (4, "ann")


def test_a_job_of_another_process_is_taken_up(tmp_path, run, wait_until):
    run(lambda job: steps(1))
    other = JobQueue(tmp_path, lambda job: steps(1))
    job = other.submit("a", "annotate")
    wait_until(lambda: other.reread(job).state == "done")


def test_a_client_waits_for_the_end_of_a_job(run, deadline):
    queue = run(endless)
    job = queue.submit("a", "annotate")
    assert not queue.wait(job, 0)
    threading.Thread(target=queue.cancel, args=[job.job]).start()
    assert queue.wait(job, deadline) and job.state == "cancelled"


def test_a_client_does_not_wait_for_a_job_that_needs_too_long(tmp_path, deadline):
    queue = JobQueue(tmp_path, endless)
    job = queue.submit("a", "annotate")
    job.seconds_left = 61.0
    assert not queue.wait(job, deadline, longest=60)


def test_the_same_job_is_queued_once(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    assert queue.submit("a", "annotate") is queue.submit("a", "annotate")
    assert queue.submit("a", "propagate", 1) is not queue.submit("a", "propagate", 2)


def test_a_running_propagation_of_the_same_version_is_the_same_job(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    job = queue.submit("a", "propagate", 1, version=4)
    job.state, job.version = "running", 4  # the worker notes the version that it found
    assert queue.submit("a", "propagate", 1, version=4) is job
    for other in ({"version": 5}, {}, {"version": 4, "within": [0, 3]}):
        newer = queue.submit("a", "propagate", 1, **other)
        assert newer is not job
        queue.cancel(newer.job)


def test_a_cancelled_job_says_what_it_did(run, wait_until):
    def work(job):
        try:
            yield from endless(job)
        finally:
            job.changed, job.note = [{"frame": 3, "change": 0.5}], "1 frame had changed already"

    queue = run(work)
    job = queue.submit("a", "propagate", 4)
    wait_until(lambda: job.progress)
    queue.cancel(job.job)
    queue.wait_for_end([job.job])
    assert job.message == "cancelled: 1 frame had changed already"
    kept = queue.reread(job)
    assert (kept.state, kept.message, kept.changed) == ("cancelled", job.message, [{"frame": 3, "change": 0.5}])


def test_a_job_that_is_done_says_what_it_noted(run, wait):
    def work(job):
        job.note = "2 frames cannot be read"
        yield 1.0, ""
        return []

    job = run(work).submit("a", "annotate")
    wait([job])
    assert job.message == "done: 2 frames cannot be read" and "note" not in job.public()


def test_a_job_that_is_found_while_it_is_submitted_stays_the_same_one(tmp_path):
    class Earlier(dict):
        """As the worker saw the jobs before the last one was known."""

        def __contains__(self, key):
            return False

    queue = JobQueue(tmp_path, lambda job: steps(1))
    job = queue.submit("a", "annotate")
    queue._jobs = Earlier(queue._jobs)
    queue._scan()
    assert queue.jobs()[0] is job


def test_a_running_annotation_is_the_same_job_and_a_running_propagation_is_not(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    annotate, propagate = queue.submit("a", "annotate"), queue.submit("a", "propagate", 1)
    annotate.state = propagate.state = "running"
    assert queue.submit("a", "annotate") is annotate
    assert queue.submit("a", "propagate", 1) is not propagate


def test_the_jobs_of_a_removed_video_end(run, wait_until):
    worked = []

    def work(job):
        for piece in endless(job):
            worked.append(job.image)
            yield piece

    queue = run(work)
    running, waiting, other = queue.submit("a", "annotate"), queue.submit("a", "propagate", 1), queue.submit("b", "x")
    wait_until(lambda: worked)
    queue.remove("a")
    count = worked.count("a")
    wait_until(lambda: "b" in worked)
    assert (running.state, waiting.state, worked.count("a")) == ("cancelled", "cancelled", count)
    queue.cancel(other.job)


def test_a_job_that_only_writes_labels_changes_no_masks(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    queue.submit("a", "label")
    assert queue.of_image("a") is None


def test_an_unknown_job(tmp_path):
    (tmp_path / "0badbadbadbad000.json").write_text("{")
    queue = JobQueue(tmp_path, lambda job: steps(1))
    with pytest.raises(NotFound, match="job '0badbadbadbad000' is not known"):
        queue["0badbadbadbad000"]


def test_a_job_of_a_video(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    assert queue.of_image("a") is None
    first, second = queue.submit("a", "annotate"), queue.submit("a", "propagate", 1)
    second.state = "running"
    assert isinstance(first, Job) and queue.of_image("a") is second
