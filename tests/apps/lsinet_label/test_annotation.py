"""What jobs do to a video."""

from __future__ import annotations

import numpy as np
import pytest
from lib.annotation import Worker
from lib.model import ServedModel
from lib.queue import Job

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
        return Worker(open_store(), model, lambda video, is_new: iter(()), threshold=0.45)

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


def test_labels_that_are_interrupted_are_written_without_a_second_pass(worker):
    interrupted = worker()
    interrupted.on_labels = lambda video, is_new: iter(range(12))
    work = interrupted(job("annotate"))
    while "the label" not in next(work)[1]:
        pass
    work.close()
    again, told = worker(), []
    again.on_labels = lambda video, is_new: iter([told.append(is_new)])
    _, progress = run(again(job("annotate")))
    assert (told, progress) == ([True], [1.0]) and again.videos[VIDEO].is_annotated
    assert len(run(again(job("annotate")))[1]) == 13  # asked for again, it is done again


def test_goes_on_where_it_was_interrupted(worker, monkeypatch):
    monkeypatch.setattr("lib.annotation._SAVE_FRAMES", 3)
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


def test_begins_anew_where_its_progress_cannot_be_read(worker, monkeypatch):
    monkeypatch.setattr("lib.annotation._SAVE_FRAMES", 3)
    whole = worker()
    run(whole(job("annotate")))
    expected = masks(whole)
    work = worker()(job("annotate"))
    for _ in range(8):
        next(work)
    work.close()
    again = worker()
    (progress_file,) = again.videos[VIDEO].folder.rglob("*.pt")
    progress_file.write_bytes(b"")  # as a power cut may leave it
    _, progress = run(again(job("annotate")))
    assert progress[0] == pytest.approx(1 / 12) and (masks(again) == expected).all()


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


def test_what_changed_is_told_against_the_masks_before_the_job(worker):
    working = worker()
    run(working(job("annotate")))
    before = masks(working)
    video = working.videos[VIDEO]
    video.save_correction(2, drawn(), "ann")
    video.save_correction(9, drawn(4), "ann")
    changed, _ = run(working(job("propagate")))  # frames between the two are reached from both
    after = masks(working)
    expected = {
        frame: 1 - ((before[frame] > 0) & (after[frame] > 0)).sum() / ((before[frame] > 0) | (after[frame] > 0)).sum()
        for frame in range(12)
        if frame not in (2, 9) and ((before[frame] > 0) != (after[frame] > 0)).any()
    }
    assert {entry["frame"]: entry["change"] for entry in changed} == pytest.approx(expected, abs=1e-4)


def test_a_correction_that_is_taken_back_leaves_nothing(worker):
    working = worker()
    run(working(job("annotate")))
    video = working.videos[VIDEO]
    before, numbers = masks(working), [video.per_frame(name) for name in ("scores", "lesions")]
    video.save_correction(5, drawn(), "ann")
    run(working(job("propagate", 5)))
    moved = {frame for frame in range(12) if ((masks(working)[frame] > 0) != (before[frame] > 0)).any()} - {5}
    video.take_back(5, "ann")
    changed, _ = run(working(job("propagate", 5)))
    assert moved and {entry["frame"] for entry in changed} == moved
    assert (masks(working) == before).all()
    assert [video.per_frame(name) for name in ("scores", "lesions")] == numbers


def test_a_lesion_that_a_person_adds_meanwhile_keeps_its_id(worker):
    working = worker()
    video = working.videos[VIDEO]
    work = working(job("annotate"))
    next(work)
    free = video.free_lesion()
    video.name_lesions([{"id": free, "name": "mine", "colour": "#123456"}])
    run(work)
    assert free not in np.unique(masks(working)) and (masks(working).max(axis=(1, 2)) > 0).all()


def test_the_correction_beside_one_that_is_taken_back_reaches_farther(worker):
    def corrected(*frames):
        working = worker()
        for frame in frames:
            working.videos[VIDEO].save_correction(frame, drawn(), "ann")
        run(working(job("propagate", 2)))
        return working

    video = (working := corrected(2, 6)).videos[VIDEO]
    run(working(job("propagate", 6)))
    video.take_back(6, "ann")
    run(working(job("propagate", 6)))
    found = masks(working)
    video.take_back(2, "ann")
    run(working(job("propagate", 2)))
    assert not masks(working).any()  # the model has not seen this video
    assert (found == masks(corrected(2))).all()


@pytest.mark.parametrize(
    ("prepare", "kind", "frame", "message"),
    [
        (lambda video: None, "propagate", None, "has no correction"),
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
