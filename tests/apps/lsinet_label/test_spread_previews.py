"""Previews of spreads, next to what a job stores of the same masks."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from lib.annotation import Worker
from lib.errors import Conflict, NotFound
from lib.frame_images import FrameImages
from lib.job import Job
from lib.model import ServedModel
from lib.spread_previews import SpreadPreviews

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.corrections import Corrections
from lsinet_monai.inferers.feature_store import FeatureStore
from lsinet_monai.networks import save_model

pytestmark = pytest.mark.slow

SIZE = (64, 80)
BOTH_SIDES = [4, 6, 3, 7, 2, 8, 1, 9, 0, 10, 11]
THRESHOLD = 0.45  # random weights find something everywhere: this is in the middle of their probabilities


@pytest.fixture
def model(small_network, tmp_path):
    save_model(small_network, tmp_path / "model.pt", list(SIZE))
    return ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")


@pytest.fixture
def previews(model):
    return SpreadPreviews(FrameImages(), model, THRESHOLD)


@pytest.fixture
def encoded(monkeypatch):
    """The frames encoded so far."""
    frames: list[int] = []
    encode = FeatureStore._encode

    def noting(self, read):
        frames.extend(read)
        return encode(self, read)

    monkeypatch.setattr(FeatureStore, "_encode", noting)
    return frames


def drawn(top: int = 10, lesion: int = 9) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[top : top + 40, 20:60] = lesion
    return labels


def propagate(video, model, frame):
    """Let a job store what a saved mask spreads to; the masks of the frames around it."""
    worker = Worker({video.id: video}, model, lambda video, is_new: iter(()), threshold=THRESHOLD)
    for _ in worker(Job("1", video.id, "propagate", frame, "ann", "ann", 0.0)):
        pass
    return {other: video.mask(other).labels for other in video.propagated_frames()}


def files(video) -> dict[str, bytes]:
    """All that is stored of a video."""
    return {str(path): path.read_bytes() for path in video.folder.rglob("*") if path.is_file()}


def test_it_is_what_the_job_would_store(video, model, previews):
    previews.spread(video, 5, drawn())  # opens the video
    before = files(video)
    found = list(previews.spread(video, 5, drawn()))
    assert [each.frame for each in found] == BOTH_SIDES and all(each.labels.dtype == np.uint8 for each in found)
    assert files(video) == before and not video.corrections and video.saves == 0
    video.save_correction(5, drawn(), "ann")
    stored = propagate(video, model, 5)
    assert stored.keys() == {each.frame for each in found}
    for frame, labels in found:
        assert ((labels > 0) == (stored[frame] > 0)).all() and (labels == 9).any()
        assert ((labels == 9) == (stored[frame] == 9)).all()


def test_frames_to_which_the_mask_is_not_carried_are_not_shown(video, model, previews, monkeypatch):
    carry = Corrections.carried_to
    monkeypatch.setattr(
        Corrections,
        "carried_to",
        lambda self, frame, *rest, **known: {} if frame in (3, 7) else carry(self, frame, *rest, **known),
    )
    for frame in (2, 3):
        video.write_prediction("predicted", frame, drawn(4, 6), scores=0.5, uncertainty=0.1)
    found = [each.frame for each in previews.spread(video, 5, drawn())]
    assert found == [frame for frame in BOTH_SIDES if frame != 3]  # frame 7 has no mask so far
    video.save_correction(5, drawn(), "ann")
    assert propagate(video, model, 5).keys() == set(found)
    monkeypatch.setattr(Corrections, "carried_to", lambda self, frame, *rest, **known: {})
    found = {each.frame: each.labels for each in previews.spread(video, 5, drawn(20))}
    assert (found[2] == drawn(4, 6)).all() and 3 not in found  # the network's own mask is back


@pytest.mark.parametrize("how", ["drawn", "checked", "filled"])
def test_frames_with_peoples_masks_are_skipped_and_count(video, model, previews, how):
    if how == "drawn":
        video.save_correction(8, drawn(20), "bob")
    else:
        video.begin_annotation()
        for frame in range(12):
            video.write_prediction("predicted", frame, drawn(20, 2), scores=0.9, uncertainty=0.1)
        video.end_annotation("model")
        if how == "checked":
            video.stretches.check(8, 8, "bob")
        else:
            video.stretches.empty(8, 8, "bob")
    found = dict(previews.spread(video, 5, drawn()))
    assert list(found) == [4, 6, 3, 7, 2, 1, 0]
    video.save_correction(5, drawn(), "ann")
    stored = propagate(video, model, 5)
    assert stored.keys() == found.keys()
    assert all(((labels > 0) == (stored[frame] > 0)).all() for frame, labels in found.items())


def test_only_some_frames(video, previews):
    assert [each.frame for each in previews.spread(video, 5, drawn(), range(4, 8))] == [4, 6, 7]


def test_a_second_click_encodes_nothing_again(video, previews, encoded):
    first = dict(previews.spread(video, 5, drawn()))
    assert sorted(encoded) == list(range(12))
    encoded.clear()
    second = dict(previews.spread(video, 5, drawn(20)))
    again = dict(previews.spread(video, 5, drawn()))
    elsewhere = dict(previews.spread(video, 7, drawn(20)))
    assert not encoded and second.keys() == first.keys() and set(elsewhere) == set(range(12)) - {7}
    assert all((again[frame] == labels).all() for frame, labels in first.items())
    assert any((second[frame] != labels).any() for frame, labels in first.items())


def test_what_others_save_and_take_back_counts_at_the_next_click(video, model, previews):
    alone = dict(previews.spread(video, 5, drawn()))
    video.save_correction(8, drawn(20), "bob")
    between = dict(previews.spread(video, 5, drawn()))
    assert set(between) == {0, 1, 2, 3, 4, 6, 7} and (between[7] != alone[7]).any()
    video.save_correction(8, drawn(5), "bob")
    assert (dict(previews.spread(video, 5, drawn()))[7] != between[7]).any()
    video.take_back(8, "bob")
    after = dict(previews.spread(video, 5, drawn()))
    assert after.keys() == alone.keys() and all((after[frame] == alone[frame]).all() for frame in alone)


def test_a_later_preview_ends_the_one_before_at_its_next_frame(video, previews):
    first = previews.spread(video, 5, drawn())
    assert next(first).frame == 4
    second = previews.spread(video, 5, drawn(20))
    with pytest.raises(Conflict, match=r"a later preview of 'p1_a\.frames' has replaced this one"):
        next(first)
    assert len(list(second)) == 11


def test_a_later_preview_does_not_wait_until_the_one_before_has_read_its_frames(
    video, previews, monkeypatch, wait_until
):
    waits, goes_on, read = threading.Event(), threading.Event(), []
    stretch = FrameImages.stretch

    def slow(self, path, start, end):
        for index, pixels in stretch(self, path, start, end):
            read.append(index)
            waits.set()
            assert goes_on.wait(60)
            yield index, pixels

    monkeypatch.setattr(FrameImages, "stretch", slow)
    first = previews.spread(video, 11, drawn())
    call = previews._calls[video.id, ""]
    ended: list[Exception] = []

    def follow():
        try:
            list(first)
        except Conflict as error:
            ended.append(error)

    later: list[int] = []
    threads = [
        threading.Thread(target=follow),
        threading.Thread(target=lambda: later.extend(x.frame for x in previews.spread(video, 0, drawn(20)))),
    ]
    threads[0].start()
    assert waits.wait(60)
    threads[1].start()
    wait_until(lambda: call.is_replaced)
    before = len(read)
    goes_on.set()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 1 and before == 1 and later == list(range(1, 12))
    assert read[1] > read[0] + 1  # the frames in between were for the first one


def test_the_first_frames_are_encoded_ahead(video, previews, encoded):
    previews.prepare(video, 5)
    assert encoded == [5, 4, 6, 3, 7]
    found = previews.spread(video, 5, drawn())
    assert [next(found).frame, next(found).frame] == [4, 6] and len(encoded) == 5
    previews.prepare(video, 9)  # not while the other one goes on
    assert len(encoded) == 5 and len(list(found)) == 9
    previews.prepare(video, 0)
    assert len(encoded) == 12
    with pytest.raises(NotFound):
        previews.prepare(video, 12)


def test_a_damaged_frame_is_no_error_ahead(video, previews):
    (video.path / "005.png").write_bytes(b"no image")
    previews.prepare(video, 5)
    with pytest.raises(InputError, match="frame 5"):
        previews.spread(video, 5, drawn())
    previews.prepare(video, 6)
    assert len(list(previews.spread(video, 6, drawn()))) == 10


def test_previews_of_two_pages_on_one_video_do_not_end_one_another(video, previews):
    alone = dict(previews.spread(video, 5, drawn()))
    mine, theirs = (previews.spread(video, 5, drawn(top), page=page) for top, page in ((10, "mine"), (20, "theirs")))
    shown = [next(mine), next(theirs)]
    previews.prepare(video, 5, "third")
    assert [each.frame for each in shown] == [4, 4] and (shown[0].labels != shown[1].labels).any()
    rest = dict([shown[0], *mine])
    assert rest.keys() == alone.keys() and all((rest[frame] == alone[frame]).all() for frame in alone)
    assert len(list(theirs)) == 10


def test_previews_of_two_videos_do_not_end_one_another(open_store, studies, model):
    shutil.copytree(studies / "p1_a.frames", studies / "p2_b.frames")
    shutil.copytree(studies / "p1_a.frames", studies / "p3_c.frames")
    store = open_store()
    previews = SpreadPreviews(FrameImages(), model, THRESHOLD, most=2)
    first, second = (previews.spread(store[name], 5, drawn()) for name in ("p1_a.frames", "p2_b.frames"))
    assert [next(first).frame, next(second).frame, next(first).frame] == [4, 4, 6]
    assert len(list(previews.spread(store["p3_c.frames"], 5, drawn()))) == 11  # the first one's session is dropped
    assert len(list(first)) == 9 and len(list(second)) == 10 and len(previews._open) == 2


def test_another_model(video, model, previews, make_small_network, tmp_path):
    before = dict(previews.spread(video, 5, drawn()))
    network = make_small_network("mobilenetv3_small_050")
    with_more = {name: value * 1.1 for name, value in network.state_dict().items() if value.is_floating_point()}
    network.load_state_dict({**network.state_dict(), **with_more})
    save_model(network, tmp_path / "model.pt", list(SIZE))
    after = dict(previews.spread(video, 5, drawn()))
    assert any((after[frame] != labels).any() for frame, labels in before.items()) and len(previews._open) == 1


def test_what_is_refused(video, model, previews, tmp_path):
    with pytest.raises(NotFound, match="frame 12"):
        previews.spread(video, 12, drawn())
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="marked as final"):
        previews.spread(video, 5, drawn())
    video.set_final(False, "ann")
    (video.path / "005.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"frame 5 of 'p1_a\.frames' is damaged"):
        previews.spread(video, 5, drawn())
    (tmp_path / "model.pt").unlink()
    with pytest.raises(InputError, match="no model"):
        previews.spread(video, 4, drawn())
