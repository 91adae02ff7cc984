"""What jobs do to a video."""

from __future__ import annotations

import numpy as np
import pytest
from lib.jobs import Job
from lib.model import ServedModel
from lib.work import Worker

from lsinet_monai.data import frames_to_tensor, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.networks import save_checkpoint

VIDEO = "p1_a.frames"
SIZE = (64, 80)


@pytest.fixture
def worker(open_store, small_network, tmp_path):
    """Works on the store of a server that has just started."""
    save_checkpoint(tmp_path / "model.pt", small_network, list(SIZE))

    def make():
        model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
        # Random weights find something everywhere: a threshold in the middle of what they give.
        return Worker(open_store(), model, lambda video: None, threshold=0.45)

    return make


def job(kind, frame=None):
    return Job("1", VIDEO, kind, frame, "ann", "ann", 0.0)


def run(work):
    """Runs a job's work to its end; gives what it changed, and its progress."""
    progress = []
    while True:
        try:
            progress.append(next(work)[0])
        except StopIteration as stop:
            return stop.value, progress


def masks(worker, original=False):
    return np.stack([worker.videos[VIDEO].mask(frame, original).labels for frame in range(12)])


def drawn(lesion=9):
    labels = np.zeros(SIZE, np.uint8)
    labels[10:50, 20:60] = lesion
    return labels


def test_masks_are_those_of_the_inferer(worker, studies, small_network):
    annotating = worker()
    changed, progress = run(annotating(job("annotate")))
    with open_video(studies / VIDEO) as video:
        frames = frames_to_tensor([frame for _, _, frame in video], SIZE)
    expected = SequentialVideoInferer()(frames[None], small_network).sigmoid()[0, 0].numpy() > 0.45
    found = masks(annotating) > 0
    # Parts below 0.1% of the frame, 5 pixels here, are left out.
    assert not (found & ~expected).any() and (expected & ~found).sum() <= 0.01 * expected.size
    video = annotating.videos[VIDEO]
    assert changed == [] and progress == pytest.approx([(i + 1) / 12 for i in range(12)])
    assert video.is_annotated and None not in video.per_frame("scores") and video.rank() is not None


def test_goes_on_where_it_was_interrupted(worker, monkeypatch):
    monkeypatch.setattr("lib.work._SAVE_FRAMES", 3)
    whole = worker()
    run(whole(job("annotate")))
    expected, numbers = masks(whole), whole.videos[VIDEO].per_frame("changes")

    work = worker()(job("annotate"))
    for _ in range(8):
        next(work)
    work.close()
    again = worker()
    _, progress = run(again(job("annotate")))
    assert progress[0] == pytest.approx(7 / 12)  # the last save was after 6 frames
    assert (masks(again) == expected).all() and again.videos[VIDEO].per_frame("changes") == numbers


def test_a_correction_spreads_and_stays(worker):
    working = worker()
    run(working(job("annotate")))
    before = masks(working)
    video = working.videos[VIDEO]
    video.save_correction(5, drawn(), "ann")
    video.save_correction(8, np.zeros(SIZE, np.uint8), "ann")
    changed, progress = run(working(job("propagate", 5)))
    after = masks(working)
    assert (after[5] == drawn()).all() and not after[8].any()
    assert {entry["frame"] for entry in changed} <= {0, 1, 2, 3, 4, 6, 7}
    assert all((before[frame] > 0).tobytes() != (after[frame] > 0).tobytes() for frame in (e["frame"] for e in changed))
    assert (after[9:] == before[9:]).all() and 9 in np.unique(after[6])
    assert progress[-1] == pytest.approx(1) and (masks(working, original=True) == before).all()


@pytest.mark.parametrize(
    ("prepare", "kind", "frame", "message"),
    [
        (lambda video: None, "propagate", 3, "has no correction"),
        (lambda video: video.set_final(True, "ann"), "annotate", None, "is marked as final"),
    ],
)
def test_what_cannot_be_done(worker, prepare, kind, frame, message):
    working = worker()
    prepare(working.videos[VIDEO])
    with pytest.raises(InputError, match=message):
        next(working(job(kind, frame)))


def test_without_a_model(worker, tmp_path):
    working = worker()
    (tmp_path / "model.pt").unlink()
    with pytest.raises(InputError, match="--conf checkpoint FILE"):
        next(working(job("annotate")))


def test_the_newest_model_that_came_from_the_given_one_serves(tmp_path, small_network):
    trained = tmp_path / "trained"
    for name, source in (("a", "given.pt"), ("b", "given.pt"), ("c", "another.pt")):
        save_checkpoint(trained / f"{name}.pt", small_network, 64)
        (trained / f"{name}.json").write_text(f'{{"from": "{tmp_path / source}"}}')
    model = ServedModel(tmp_path / "given.pt", trained, "cpu")
    assert model.path() == trained / "b.pt"
    (trained / "b.pt").unlink()
    assert model.path() == trained / "a.pt"
