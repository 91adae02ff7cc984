from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("monailabel")

from lib.infers import AllVideosInferTask, VideoInferTask
from lib.model import ServedModel
from lib.queue import JobQueue

from lsinet_monai.errors import InputError

VIDEO = "p1_a.frames"


class Labels(SimpleNamespace):
    """A datastore with labels by tag."""

    def get_label_uri(self, image_id, tag):
        return str(self.files.get(tag.value, ""))

    def get_label_by_image_id(self, image_id, tag):
        return str(self.files.get(tag.value, ""))

    def list_images(self):
        return [VIDEO]


def nothing(job):
    """Work that is done at once."""
    return []
    yield


@pytest.fixture
def labels():
    return Labels(files={})


@pytest.fixture
def make(open_store, tmp_path, labels):
    """Makes the task over a queue whose jobs do a function's work."""
    queues = []

    def start(work):
        queue = JobQueue(tmp_path / "jobs", work)
        queues.append(queue)
        queue.run()
        model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
        return VideoInferTask(open_store(), queue, model, lambda: labels)

    yield start
    for queue in queues:
        queue.stop()


def test_the_final_label_comes_before_the_models(make, labels, tmp_path):
    task = make(nothing)
    for tag in ("original", "final"):
        labels.files[tag] = tmp_path / f"{tag}.json"
        labels.files[tag].write_text(json.dumps(tag))
        file, params = task({"image": VIDEO})
        assert json.loads(Path(file).read_text()) == tag and params["video"]["id"] == VIDEO
        Path(file).unlink()


def test_a_video_without_a_label_is_annotated_first(make, labels, tmp_path):
    def work(job):
        labels.files["original"] = tmp_path / "label.json"
        labels.files["original"].write_text("{}")
        yield 1.0, job.kind
        return []

    task = make(work)
    with pytest.raises(InputError, match="--conf checkpoint FILE"):
        task({"image": VIDEO})
    (tmp_path / "model.pt").touch()
    assert task.is_valid() and task.get_path() == str(tmp_path / "model.pt") and task.get_path(validate=False) is None
    file, _ = task({"image": VIDEO})
    assert Path(file).read_text() == "{}"
    Path(file).unlink()


def test_a_long_job_is_answered_with_its_state(make, tmp_path):
    def work(job):
        for step in range(10**6):
            yield step / 10**6, "works"
        return []

    (tmp_path / "model.pt").touch()
    task = make(work)
    file, params = task({"image": VIDEO, "timeout": 0.01})
    assert file is None and params["image"] == VIDEO and params["kind"] == "annotate"
    task.jobs.cancel(params["job"])


def test_a_failed_job(make, tmp_path):
    def work(job):
        raise InputError("frame 3 is damaged")
        yield

    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match=r"'p1_a\.frames': frame 3 is damaged"):
        make(work)({"image": VIDEO})


@pytest.mark.parametrize("timeout", ["soon", [1]])
def test_a_timeout_is_a_number(make, tmp_path, timeout):
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match="timeout="):
        make(nothing)({"image": VIDEO, "timeout": timeout})


def test_a_batch_waits_for_each_job(tmp_path, labels):
    def work(job):
        yield 1.0, ""
        return []

    server = JobQueue(tmp_path / "jobs", work)
    server.run()
    task = AllVideosInferTask(JobQueue(tmp_path / "jobs", work))
    assert task({"images": "all"}, labels, None) == {VIDEO: {"state": "done", "message": "done"}}
    server.stop()
    labels.files["original"] = tmp_path / "label.json"
    assert task({"images": "all"}, labels, None) == {VIDEO: {"state": "done", "message": "was annotated before"}}
