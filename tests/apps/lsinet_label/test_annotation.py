"""The work of jobs on a video."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from lib.annotation import Worker
from lib.job import Job
from lib.model import ServedModel

from lsinet_monai.data import frame_quality, frames_to_tensor, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.inferers.corrections import Corrections
from lsinet_monai.masks import LesionTracker, expected_error
from lsinet_monai.networks import save_model

VIDEO = "p1_a.frames"
SIZE = (64, 80)


@pytest.fixture(scope="module")
def model_file(small_network, tmp_path_factory):
    file = tmp_path_factory.mktemp("model") / "model.pt"
    save_model(small_network, file, list(SIZE))
    return file


@pytest.fixture
def worker(open_store, model_file, tmp_path):
    """Makes a worker with the store of a server that has just started."""

    def make():
        model = ServedModel(model_file, tmp_path / "trained", "cpu")
        # Random weights find something everywhere: the threshold is in the middle of their probabilities.
        return Worker(open_store(), model, lambda video, is_new: iter(()), threshold=0.45)

    return make


@pytest.fixture(scope="module")
def annotation(tmp_path_factory):
    """A place for the store of an annotated video."""
    return tmp_path_factory.mktemp("annotation") / "labels"


@pytest.fixture
def annotated(worker, studies, annotation):
    """A worker with an annotated video; the model goes through it once for all tests."""
    if annotation.exists():
        shutil.copytree(annotation, studies / "labels")
        return worker()
    working = worker()
    run(working(job("annotate")))
    shutil.copytree(studies / "labels", annotation)
    return working


def job(kind, frame=None):
    return Job("1", VIDEO, kind, frame, "ann", "ann", 0.0)


def run(work):
    """Runs a job's work to its end; gives the changed frames and each progress."""
    progress = []
    while True:
        try:
            progress.append(next(work)[0])
        except StopIteration as stop:
            return stop.value, progress


def stop_after(work, pieces):
    """Runs some pieces of a job's work, and stops it there."""
    for _ in range(pieces):
        next(work)
    work.close()


def masks(worker, original=False):
    return np.stack([worker.videos[VIDEO].mask(frame, original).labels for frame in range(12)])


def drawn(lesion=9):
    labels = np.zeros(SIZE, np.uint8)
    labels[10:50, 20:60] = lesion
    return labels


@pytest.mark.slow
def test_masks_equal_the_inferers(worker, studies, small_network):
    annotating = worker()
    changed, progress = run(annotating(job("annotate")))
    with open_video(studies / VIDEO) as video:
        pictures = [frame for _, _, frame in video]
    frames = frames_to_tensor(pictures, SIZE)
    maps = SequentialVideoInferer()(frames[None], small_network).sigmoid()[0, 0].numpy()
    expected = maps > 0.45
    found = masks(annotating) > 0
    # Parts below 0.1% of the frame, 5 pixels here, are left out.
    assert not (found & ~expected).any() and (expected & ~found).sum() <= 0.01 * expected.size
    video = annotating.videos[VIDEO]
    assert changed == [] and progress == pytest.approx([(i + 1) / 12 for i in range(12)])
    assert video.info.is_annotated and None not in video.values.per_frame("scores")
    assert video.values.rank() is not None
    errors = [expected_error(probability, mask) for probability, mask in zip(maps, found, strict=True)]
    assert video.values.per_frame("errors") == pytest.approx(errors, abs=1e-3)
    assert video.values.per_frame("quality") == pytest.approx([frame_quality(x) for x in pictures], abs=1e-3)


@pytest.mark.slow
def test_interrupted_labels_are_written_without_a_second_pass(worker):
    interrupted = worker()
    interrupted.on_labels = lambda video, is_new: iter(range(12))
    work = interrupted(job("annotate"))
    while "the label" not in next(work)[1]:
        pass
    work.close()
    again, written = worker(), []
    again.on_labels = lambda video, is_new: iter([written.append(is_new)])
    _, progress = run(again(job("annotate")))
    assert (written, progress) == ([True], [1.0]) and again.videos[VIDEO].info.is_annotated
    assert len(run(again(job("annotate")))[1]) == 13  # a second request is a second pass


def interrupt(worker):
    """Annotates 8 of 12 frames, and gives the file of its progress."""
    working = worker()
    work = working(job("annotate"))
    stop_after(work, 8)
    return working.videos[VIDEO].folder / "annotate.pt"


def as_before(file):
    """As older versions wrote it, which had other settings and did not note them."""
    content = torch.load(file, weights_only=True)
    for name in (
        "lesions",
        "waiting",
        "waiting_usable",
        "waiting_detail",
        "waiting_begins_scene",
        "frame_shape",
        "seen_frame",
        "cuts",
        "left_empty",
        "clearest",
        "smoothed",
        "inferer",
    ):
        content.pop(name)
    assert content.keys() == {"model", "next_frame", "frame_index", "memory", "previous"}
    torch.save(content, file)


def of_another_model(file):
    torch.save(torch.load(file, weights_only=True) | {"model": "another.pt 1 2"}, file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda file: None, 7),  # the last save was after 6 frames
        pytest.param(as_before, 1, marks=pytest.mark.slow),
        pytest.param(of_another_model, 1, marks=pytest.mark.slow),
        (lambda file: file.write_bytes(b""), 1),  # after a power cut
    ],
)
def test_an_interrupted_annotation_resumes_with_the_same_masks(worker, annotated, studies, monkeypatch, change, first):
    expected, changes = masks(annotated), annotated.videos[VIDEO].values.per_frame("changes")
    shutil.rmtree(studies / "labels")
    monkeypatch.setattr("lib.annotation._SAVE_FRAMES", 3)
    change(interrupt(worker))
    again = worker()
    _, progress = run(again(job("annotate")))
    assert progress[0] == pytest.approx(first / 12)
    assert (masks(again) == expected).all() and again.videos[VIDEO].values.per_frame("changes") == changes
    assert not (again.videos[VIDEO].folder / "annotate.pt").exists()


@pytest.mark.slow
def test_a_second_annotation_changes_nothing_until_it_is_complete(annotated, worker):
    video = annotated.videos[VIDEO]
    video.save_correction(5, drawn(), "ann")
    run(annotated(job("propagate", 5)))
    before = masks(annotated), video.values.per_frame("scores"), video.propagated_frames()
    assert before[2]
    annotated.threshold = 0.99  # no masks, as of another model
    work = annotated(job("annotate"))
    for _ in range(8):
        next(work)
    work.close()  # cancelled
    for working in (annotated, worker()):
        now = working.videos[VIDEO]
        assert (masks(working) == before[0]).all() and now.info.is_annotated
        assert (now.values.per_frame("scores"), now.propagated_frames()) == before[1:]

    again = worker()
    again.threshold = 0.99
    run(again(job("annotate")))
    video = again.videos[VIDEO]
    assert before[0].any() and not masks(again, original=True).any()
    assert video.mask(5).labels.max() == 9 and set(video.propagated_frames()) == set(before[2])
    assert not video.values.without_mask() and video.annotated_kind == "predicted"


@pytest.mark.slow
def test_progress_of_another_model_is_forgotten_with_its_masks(annotated, worker, monkeypatch):
    monkeypatch.setattr("lib.annotation._SAVE_FRAMES", 3)
    video = annotated.videos[VIDEO]
    work = annotated(job("annotate"))
    stop_after(work, 8)
    file = video.folder / "annotate.pt"
    of_another_model(file)
    again = worker()  # with the model in service
    next(again(job("annotate")))
    assert not file.exists()
    assert again.videos[VIDEO].annotated_labels(0).any() and not again.videos[VIDEO].annotated_labels(5).any()


@pytest.mark.slow
def test_a_resumed_annotation_gives_new_lesions_new_ids(worker, monkeypatch):
    monkeypatch.setattr("lib.annotation._SAVE_FRAMES", 9)
    monkeypatch.setattr("lib.annotation.without_specks", lambda mask: mask)
    shown = {0, 1, 11}  # between them, the polyp is away for longer than a track lives

    def predict(source, first, model, inferer, state):
        for frame in range(first, 12):
            yield frame, (drawn() > 0) * np.float32(frame in shown), None, 1.0

    monkeypatch.setattr("lib.annotation._predict", predict)
    whole = worker()
    run(whole(job("annotate")))
    expected = masks(whole, original=True)
    assert expected[0].max() == 1 and expected[11].max() == 2
    shutil.rmtree(whole.videos[VIDEO].folder)
    stopped = worker()
    work = stopped(job("annotate"))
    stop_after(work, 10)
    again = worker()
    run(again(job("annotate")))
    assert (masks(again, original=True) == expected).all()


@pytest.fixture
def blinking(monkeypatch):
    """Lets the network find a polyp in the first frame alone and in the last six, and the same features in all."""
    monkeypatch.setattr("lib.annotation._SAVE_FRAMES", 5)
    monkeypatch.setattr("lib.annotation.LesionTracker", lambda: LesionTracker(max_absence=0))

    def predict(source, first, model, inferer, state):
        for frame in range(first, 12):
            shown = drawn() > 0
            yield frame, shown * np.float32(frame == 0 or frame > 5), shown[None].astype(np.float32), 1.0

    monkeypatch.setattr("lib.annotation._predict", predict)


def test_tracks_of_one_lesion_are_joined_at_the_end(worker, blinking):
    working = worker()
    work, video = working(job("annotate")), working.videos[VIDEO]
    for _ in range(12):
        next(work)
    assert (video.annotated_labels(0).max(), video.annotated_labels(6).max()) == (1, 2)
    run(work)
    assert [masks(working, original)[[0, 6]].max() for original in (True, False)] == [2, 2]
    assert masks(working)[0].max() == 2 and video.values.per_frame("lesions")[0] == [2]
    assert [entry["id"] for entry in video.lesions.entries()] == [2]


def test_lesions_of_people_are_not_joined_to_others(worker, blinking):
    working = worker()
    work, video = working(job("annotate")), working.videos[VIDEO]
    next(work)
    video.lesions.rename([{"id": 1, "name": "mine", "colour": "#123456"}])
    run(work)
    assert (masks(working)[0].max(), masks(working)[6].max()) == (1, 2)


def test_an_annotation_that_resumes_joins_the_same_tracks(worker, blinking):
    working = worker()
    work = working(job("annotate"))
    stop_after(work, 6)
    again = worker()
    run(again(job("annotate")))
    assert again.videos[VIDEO].mask(0).labels.max() == 2


@pytest.mark.slow
def test_a_second_annotation_removes_what_no_correction_reaches(annotated):
    video = annotated.videos[VIDEO]
    video.write_prediction("propagated", 2, drawn(3), scores=0.5, uncertainty=0.1)
    run(annotated(job("annotate")))
    assert video.propagated_frames() == [] and video.mask(2).labels.max() != 3


def test_a_correction_spreads_and_stays(annotated):
    working = annotated
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


def test_frames_to_which_a_mask_is_not_carried_keep_what_they_had(annotated, monkeypatch):
    video, before = annotated.videos[VIDEO], masks(annotated)
    carry, last = Corrections.carried_to, 7
    monkeypatch.setattr(
        Corrections,
        "carried_to",
        lambda self, frame, *rest, **known: {} if frame > last else carry(self, frame, *rest, **known),
    )
    video.save_correction(5, drawn(), "ann")
    run(annotated(job("propagate", 5)))
    assert video.propagated_frames() == [0, 1, 2, 3, 4, 6, 7]
    assert (masks(annotated)[8:] == before[8:]).all() and (masks(annotated)[6:8] == 9).any()
    last = -1
    video.save_correction(5, drawn(3), "ann")
    _, progress = run(annotated(job("propagate", 5)))
    # Nothing is left of the mask that was replaced: the network's are current again.
    assert video.propagated_frames() == [] and len(progress) >= 11
    assert all((masks(annotated)[frame] == before[frame]).all() for frame in range(12) if frame != 5)


def test_a_frame_without_any_mask_gets_the_networks_if_none_is_carried(worker, monkeypatch):
    monkeypatch.setattr(Corrections, "carried_to", lambda self, frame, *rest, **known: {})
    working = worker()
    video = working.videos[VIDEO]
    video.save_correction(5, drawn(), "ann")
    run(working(job("propagate", 5)))
    assert video.propagated_frames() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert video.values.sources(4) == [5]


def test_a_mask_that_is_taken_back_leaves_the_networks_where_no_other_is_carried(worker, monkeypatch):
    """In a video in which nobody has let the network find polyps."""
    working = worker()
    video = working.videos[VIDEO]
    carry = Corrections.carried_to
    monkeypatch.setattr(
        Corrections,
        "carried_to",
        lambda self, frame, *rest, **known: {x: m for x, m in carry(self, frame, *rest, **known).items() if x == 2},
    )
    for frame in (2, 9):
        video.save_correction(frame, drawn(), "ann")
    run(working(job("propagate")))
    assert video.values.sources(5) == [2] and video.values.sources(10) == [9]
    video.take_back(2, "ann")
    run(working(job("propagate", 2)))
    assert {3, 4, 5, 6, 7, 8} <= set(video.propagated_frames()) and video.values.sources(5) == [9]


def test_a_spread_is_undone_and_the_persons_mask_stays(annotated, worker):
    video = annotated.videos[VIDEO]
    before, values = masks(annotated), video.values.per_frame("scores")
    video.save_correction(5, drawn(), "ann")
    changed, _ = run(annotated(job("propagate", 5)))
    after = masks(annotated)
    spread = video.propagations.unanswered()[0]
    assert changed and spread["frame"] == 5
    for entry in changed:
        assert (video.propagations.before(spread["act"], entry["frame"]) == before[entry["frame"]]).all()
    video.stretches.undo(spread["act"], "ann")
    for working in (annotated, worker()):
        kept = masks(working)
        assert (kept[5] == drawn()).all() and (after[5] == drawn()).all()
        assert all((kept[frame] == before[frame]).all() for frame in range(12) if frame != 5)
        found = working.videos[VIDEO].values.per_frame("scores")
        assert [found[frame] for frame in range(12) if frame != 5] == values[:5] + values[6:]
        assert working.videos[VIDEO].propagations.unanswered() == []


def test_a_propagation_ends_at_checked_frames_and_at_the_given_ones(annotated):
    video = annotated.videos[VIDEO]
    before = masks(annotated)
    video.stretches.check(3, 3, "ann")
    video.save_correction(5, drawn(), "ann")
    wanted = job("propagate", 5)
    wanted.within = [0, 8]
    run(annotated(wanted))
    assert video.propagated_frames() == [4, 6, 7]
    assert (masks(annotated)[3] == before[3]).all()
    run(annotated(job("propagate")))
    assert video.propagated_frames() == [4, 6, 7, 8, 9, 10, 11]


def test_a_mask_that_is_taken_back_does_not_spread_its_neighbours(annotated):
    video = annotated.videos[VIDEO]
    for frame in (3, 8):
        video.save_correction(frame, drawn(), "ann")
    video.take_back(3, "ann")
    before = masks(annotated)
    changed, _ = run(annotated(job("propagate", 3)))
    assert changed == [] and (masks(annotated) == before).all() and video.propagated_frames() == []


def test_a_cancelled_propagation_can_be_undone(annotated):
    video = annotated.videos[VIDEO]
    before = masks(annotated)
    video.save_correction(5, drawn(), "ann")
    work = annotated(job("propagate", 5))
    stop_after(work, 2)
    assert len(video.propagated_frames()) == 2
    video.stretches.undo(video.propagations.unanswered()[0]["act"], "ann")
    assert all((masks(annotated)[frame] == before[frame]).all() for frame in range(12) if frame != 5)


@pytest.mark.slow
def test_a_cancelled_propagation_says_what_it_changed(annotated):
    video = annotated.videos[VIDEO]
    video.save_correction(5, drawn(), "ann")
    stopped = job("propagate", 5)
    stop_after(annotated(stopped), 2)
    assert {entry["frame"] for entry in stopped.changed} <= {3, 4} and stopped.changed
    assert stopped.note.startswith(f"{len(stopped.changed)} frame")
    assert video.propagations.unanswered()[0]["frames"] == [3, 4]
    run(annotated(job("propagate", 5)))  # to its end: both are undone together
    assert video.propagations.unanswered()[0]["frames"] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.slow
def test_the_same_propagation_again_changes_nothing(annotated):
    video = annotated.videos[VIDEO]
    before = masks(annotated)
    video.save_correction(5, drawn(), "ann")
    run(annotated(job("propagate", 5)))
    after, spread = masks(annotated), video.propagations.unanswered()[0]
    changed, _ = run(annotated(job("propagate", 5)))
    assert changed == [] and (masks(annotated) == after).all() and video.propagations.unanswered() == [spread]
    video.stretches.undo(spread["act"], "ann")
    assert all((masks(annotated)[frame] == before[frame]).all() for frame in range(12) if frame != 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("withdraw", "is_early"),
    [
        (lambda video: video.take_back(5, "ann"), False),
        (lambda video: video.take_back(5, "ann"), True),
        (lambda video: video.stretches.clear(5, 5, "ann"), False),
        (lambda video: video.stretches.empty(4, 6, "ann"), False),
    ],
)
def test_no_mask_outlives_its_correction(annotated, withdraw, is_early):
    """Also behind a frame that was checked after the propagation, or during it."""
    video = annotated.videos[VIDEO]
    video.save_correction(5, drawn(), "ann")
    work = annotated(job("propagate", 5))
    if is_early:
        next(work)
        video.stretches.check(8, 8, "ann")
    run(work)
    if not is_early:
        video.stretches.check(8, 8, "ann")
    people = video.stretches.copy(2, 2, "ann", 8).frames
    before, checked = masks(annotated, original=True), masks(annotated)[8]
    withdraw(video)
    assert {9, 10, 11, 0} < video.orphans()
    changed, _ = run(annotated(job("propagate", 5)))
    assert video.propagated_frames() == [] and video.propagations.unanswered() == [] and people == [2]
    others = sorted(set(range(12)) - video.corrections.keys())
    assert {9, 10, 11} <= set(others) and (masks(annotated)[others] == before[others]).all()
    assert {entry["frame"] for entry in changed} <= set(others) and (masks(annotated)[8] == checked).all()


def test_taking_back_a_mask_that_has_not_spread_changes_no_other(annotated):
    video = annotated.videos[VIDEO]
    for frame in (2, 5):
        video.save_correction(frame, drawn(frame), "ann")
        run(annotated(job("propagate", frame)))
    before = masks(annotated)
    video.save_correction(8, np.zeros(SIZE, np.uint8), "ann")
    act = video.stretches.clear(8, 8, "ann")
    assert act.spread == []
    assert run(annotated(job("propagate", 8))) == ([], []) and (masks(annotated) == before).all()
    video.save_correction(8, drawn(8), "ann")  # nor does a saved one spread because others are taken back
    video.stretches.clear(2, 5, "ann")
    for frame in (2, 5):
        run(annotated(job("propagate", frame)))
    assert video.propagated_frames() == []


@pytest.mark.slow
@pytest.mark.parametrize("follows", ["not", "partly", "fully"])
@pytest.mark.parametrize("act", ["clear", "empty"])
def test_undoing_an_act_brings_back_what_had_come_from_its_corrections(annotated, worker, act, follows):
    """Whether the job that followed the act has not begun, was stopped, or came to its end."""
    video = annotated.videos[VIDEO]
    for frame in (2, 5, 8):
        video.save_correction(frame, drawn(frame), "ann")
        run(annotated(job("propagate", frame)))
    spreads, before = video.propagations.unanswered(), masks(annotated)
    assert [spread["frame"] for spread in spreads] == [8, 5, 2]
    values = {frame: video.values.propagated(frame) for frame in video.propagated_frames()}
    done = getattr(video.stretches, act)(5, 8, "ann")
    assert done.spread == [5, 8]
    for frame in done.spread if follows != "not" else []:
        work = annotated(job("propagate", frame))
        if follows == "partly":
            next(work, None)
            work.close()
        else:
            run(work)
    assert follows == "not" or (masks(annotated) != before).any()
    assert [spread["frame"] for spread in video.propagations.unanswered()] == [2]
    video.stretches.undo(done.id, "ann")
    for working in (annotated, worker()):
        now = working.videos[VIDEO]
        assert (masks(working) == before).all() and now.propagations.unanswered() == spreads
        for frame, found in values.items():
            assert (
                now.values.sources(frame) == found["sources"]
                and now.values.propagated(frame)["scores"] == found["scores"]
            )
    video.stretches.undo(spreads[0]["act"], "ann")
    assert not video.propagated_from(8) - video.propagated_from(5)
    for spread in reversed(spreads[1:]):  # the first one first
        video.stretches.undo(spread["act"], "ann")
    assert video.propagated_frames() == []


def test_a_correction_that_is_taken_back_during_its_propagation_writes_no_more(annotated):
    video = annotated.videos[VIDEO]
    video.save_correction(5, drawn(), "ann")
    work = annotated(job("propagate", 5))
    next(work)
    video.take_back(5, "ann")
    run(work)
    assert video.propagated_frames() == [4]
    run(annotated(job("propagate", 5)))
    assert video.propagated_frames() == []


@pytest.mark.slow
def test_an_undone_spread_brings_no_mask_of_a_lost_correction_back(annotated):
    video = annotated.videos[VIDEO]
    original = masks(annotated, original=True)
    for frame in (2, 7):
        video.save_correction(frame, drawn(frame), "ann")
        run(annotated(job("propagate", frame)))
    assert video.values.sources(1) == [2] and video.values.sources(5) == [2, 7] and video.values.sources(9) == [7]
    video.take_back(2, "ann")
    run(annotated(job("propagate", 2)))
    assert {tuple(video.values.sources(frame)) for frame in video.propagated_frames()} == {(7,)}
    video.stretches.undo(video.propagations.unanswered()[0]["act"], "ann")
    assert not set(video.propagated_frames()) & {3, 4, 5, 6, 8, 9, 10, 11} and not video.orphans()
    assert (masks(annotated)[8:] == original[8:]).all()


def test_unreadable_frames_are_counted(worker, studies):
    for frame in (3, 4):
        (studies / VIDEO / f"{frame:03d}.png").write_bytes(b"no image")
    working, annotating = worker(), job("annotate")
    run(working(annotating))
    video = working.videos[VIDEO]
    assert annotating.note == "2 frames cannot be read and have no mask" and video.values.unreadable() == [3, 4]
    assert video.values.without_mask() == 0  # none that the network could still find


@pytest.mark.slow
def test_changes_count_from_the_masks_before_the_job(annotated):
    working = annotated
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


def test_a_correction_that_is_taken_back_leaves_nothing(annotated):
    working = annotated
    video = working.videos[VIDEO]
    before, values = masks(working), [video.values.per_frame(name) for name in ("scores", "lesions")]
    video.save_correction(5, drawn(), "ann")
    run(working(job("propagate", 5)))
    moved = {frame for frame in range(12) if ((masks(working)[frame] > 0) != (before[frame] > 0)).any()} - {5}
    video.take_back(5, "ann")
    changed, _ = run(working(job("propagate", 5)))
    assert moved and {entry["frame"] for entry in changed} == moved
    assert (masks(working) == before).all()
    assert [video.values.per_frame(name) for name in ("scores", "lesions")] == values


def test_a_lesion_that_a_person_adds_meanwhile_keeps_its_id(worker):
    working = worker()
    video = working.videos[VIDEO]
    work = working(job("annotate"))
    next(work)
    free = video.lesions.free_id()
    video.lesions.rename([{"id": free, "name": "mine", "colour": "#123456"}])
    run(work)
    assert free not in np.unique(masks(working)) and (masks(working).max(axis=(1, 2)) > 0).all()


@pytest.mark.slow
def test_the_correction_next_to_one_that_is_taken_back_reaches_farther(worker):
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
    assert not masks(working).any()  # the model has not gone through this video
    assert (found == masks(corrected(2))).all()


@pytest.mark.parametrize(
    ("prepare", "kind", "frame", "message"),
    [
        (lambda video: None, "propagate", None, "has no correction"),
        (lambda video: video.set_final(True, "ann"), "annotate", None, "is marked as final"),
    ],
)
def test_jobs_that_cannot_be_done(worker, prepare, kind, frame, message):
    working = worker()
    prepare(working.videos[VIDEO])
    with pytest.raises(InputError, match=message):
        next(working(job(kind, frame)))


def test_without_a_model(worker, tmp_path):
    working = worker()
    working.model.checkpoint = tmp_path / "model.pt"
    with pytest.raises(InputError, match="--conf checkpoint FILE"):
        next(working(job("annotate")))
