"""The queue: turns, restarts, and errors that end one job only."""

from __future__ import annotations

import errno
import json
import time

import pytest
from lib.errors import NotFound
from lib.queue import Job, JobQueue

from lsinet_monai.errors import InputError


def steps(count, log=None, name=""):
    for step in range(1, count + 1):
        if log is not None:
            log.append(name)
        yield step / count, f"step {step}"
    return [{"frame": 0, "change": 1.0}]


def wait(queue, jobs):
    assert all(queue.wait(job, 20) for job in jobs)


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


def test_a_job_is_done(run):
    queue = run(lambda job: steps(3))
    job = queue.submit("a", "annotate", user="ann")
    wait(queue, [job])
    assert (job.state, job.progress, job.changed) == ("done", 1.0, [{"frame": 0, "change": 1.0}])
    assert json.loads((queue.folder / f"{job.job}.json").read_text())["state"] == "done"
    assert "owner" not in job.public()


def test_one_owner_with_many_jobs_does_not_delay_another(tmp_path):
    log = []
    queue = JobQueue(tmp_path, lambda job: steps(5, log, job.image), slice_seconds=0)
    many = [queue.submit(f"many{i}", "annotate", owner="x") for i in range(10)]
    one = queue.submit("one", "annotate", owner="y")
    queue.run()
    wait(queue, [*many, one])
    queue.stop()
    assert log.index("many1") > max(i for i, name in enumerate(log) if name == "one")


def test_propagation_comes_before_the_owners_long_jobs(tmp_path):
    log = []
    queue = JobQueue(tmp_path, lambda job: steps(1, log, job.kind))
    jobs = [queue.submit("a", "annotate"), queue.submit("b", "annotate"), queue.submit("c", "propagate", 3)]
    queue.run()
    wait(queue, jobs)
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
def test_an_error_ends_its_own_job_only(run, error, message):
    def work(job):
        if job.image == "bad":
            raise error
        return steps(2)

    queue = run(work)
    bad, good = queue.submit("bad", "annotate"), queue.submit("good", "annotate")
    wait(queue, [bad, good])
    assert (bad.state, bad.message, good.state) == ("failed", message, "done")


def test_a_cancelled_job_is_closed(run):
    closed = []

    def work(job):
        try:
            for step in range(10**6):
                time.sleep(0.01)
                yield step / 10**6, ""
        finally:
            closed.append(job.image)
        return []

    queue = run(work, slice_seconds=0.05)
    job = queue.submit("a", "annotate")
    while job.state == "queued":
        time.sleep(0.01)
    queue.cancel(job.job)
    after = queue.submit("b", "annotate")
    while after.state == "queued":
        time.sleep(0.01)
    queue.cancel(after.job)
    assert (job.state, closed[:1]) == ("cancelled", ["a"])


def test_jobs_resume_after_a_restart(tmp_path, run):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    waiting = queue.submit("waiting", "annotate")
    running = queue.submit("running", "propagate", 4, "ann")
    running.state = "running"
    queue._save(running)

    again = run(lambda job: steps(2))
    jobs = [again[waiting.job], again[running.job]]
    wait(again, jobs)
    assert [job.state for job in jobs] == ["done", "done"]
    assert (jobs[1].frame, jobs[1].user) == (4, "ann")


def test_a_job_of_another_process_is_taken_up(tmp_path, run):
    queue = run(lambda job: steps(1))
    other = JobQueue(tmp_path, lambda job: steps(1))
    job = other.submit("a", "annotate")
    wait(queue, [] if job.job not in queue._jobs else [queue[job.job]])
    end = time.monotonic() + 20
    while (job := other.reread(job)).state != "done" and time.monotonic() < end:
        time.sleep(0.05)
    assert job.state == "done"


def test_the_same_job_is_queued_once(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    assert queue.submit("a", "annotate") is queue.submit("a", "annotate")
    assert queue.submit("a", "propagate", 1) is not queue.submit("a", "propagate", 2)


def test_a_running_annotation_is_the_same_job_and_a_running_propagation_is_not(tmp_path):
    queue = JobQueue(tmp_path, lambda job: steps(1))
    annotate, propagate = queue.submit("a", "annotate"), queue.submit("a", "propagate", 1)
    annotate.state = propagate.state = "running"
    assert queue.submit("a", "annotate") is annotate
    assert queue.submit("a", "propagate", 1) is not propagate


def test_the_jobs_of_a_removed_video_end(run):
    worked = []

    def work(job):
        for step in range(1000):
            time.sleep(0.01)
            worked.append(job.image)
            yield step / 1000, ""
        return []

    queue = run(work)
    running, waiting, other = queue.submit("a", "annotate"), queue.submit("a", "propagate", 1), queue.submit("b", "x")
    while not worked:
        time.sleep(0.01)
    queue.remove("a")
    count = worked.count("a")
    while "b" not in worked:
        time.sleep(0.01)
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
