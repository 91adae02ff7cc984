"""The datastore of videos, as MONAI Label's clients see it."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext

import pytest

pytest.importorskip("monailabel")

from lib.datastore import VideoDatastore, check_name
from lib.errors import NotFound
from lib.store import VideoStore
from lib.strategies import next_frame
from lib.trainers import patient_of_video

from lsinet_monai.errors import InputError


@pytest.fixture
def make(studies):
    """Opens the datastore of a folder with a video of frames, a file that is named as one, and other things."""
    (studies / "B 2.MP4").write_bytes(b"x")
    (studies / "notes.txt").write_bytes(b"x")
    (studies / "file.frames").write_bytes(b"x")
    (studies / "folder.mp4").mkdir()
    return lambda removal=nullcontext: VideoDatastore(str(studies), False, removal)


def test_ids_are_file_names(make, studies):
    datastore = make()
    assert sorted(datastore.list_images()) == ["B 2.MP4", "p1_a.frames"]
    assert datastore.path("p1_a.frames") == studies / "p1_a.frames"
    with pytest.raises(NotFound, match=r"'notes\.txt' is none of the videos"):
        datastore.path("notes.txt")


def test_links_lead_nowhere_else(make, studies):
    (studies.parent / "secret.mp4").write_bytes(b"x")
    (studies.parent / "secret.frames").mkdir()
    (studies / "c.mp4").symlink_to(studies.parent / "secret.mp4")
    (studies / "c.frames").symlink_to(studies.parent / "secret.frames")
    (studies / "d.mp4").symlink_to("B 2.MP4")
    (studies / "e.frames").mkdir()
    (studies / "e.frames" / "0.png").symlink_to(studies.parent / "secret.mp4")
    assert sorted(make().list_images()) == ["B 2.MP4", "d.mp4", "p1_a.frames"]
    (studies / "B 2.MP4").unlink()  # of one that was listed
    (studies / "B 2.MP4").symlink_to(studies.parent / "secret.mp4")
    datastore = make()
    assert sorted(datastore.list_images()) == ["p1_a.frames"]
    with pytest.raises(NotFound):
        datastore.path("c.mp4")
    (studies.parent / "linked").symlink_to(studies)
    assert sorted(VideoDatastore(str(studies.parent / "linked"), False, nullcontext).list_images()) == ["p1_a.frames"]


def test_labels_are_found_again(make, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    make().save_label("B 2.MP4", str(tmp_path / "x.json"), "original", {"doubt": 0.5})
    datastore = make()
    assert datastore.get_labels_by_image_id("B 2.MP4") == {"original": "B 2.MP4"}
    assert datastore.get_label_info("B 2.MP4", "original")["doubt"] == 0.5
    datastore.remove_label("B 2.MP4", "original")
    assert make().get_labels_by_image_id("B 2.MP4") == {}


@pytest.mark.parametrize("tag", ["../../x", "", "other"])
def test_labels_go_nowhere_else(make, tmp_path, tag):
    (tmp_path / "x.json").write_text("{}")
    datastore = make()
    with pytest.raises(InputError, match="tag="):
        datastore.save_label("B 2.MP4", str(tmp_path / "x.json"), tag, {})
    assert datastore.get_label_uri("B 2.MP4", tag) == ""


def test_a_video_is_removed_with_what_is_stored(make, studies):
    steps = []

    @contextmanager
    def removal(image_id):
        steps.append((image_id, "B 2.MP4" in datastore))
        yield
        steps.append((image_id, "B 2.MP4" in datastore))

    datastore = make(removal)
    datastore.remove_image("B 2.MP4")
    assert steps == [("B 2.MP4", True), ("B 2.MP4", False)] and not (studies / "B 2.MP4").exists()


def test_a_server_that_is_killed_while_it_writes_leaves_a_list(make, studies, monkeypatch):
    datastore = make()
    monkeypatch.setattr("lib.datastore.json.dumps", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datastore.update_image_info("B 2.MP4", {"x": 1})
    monkeypatch.undo()
    assert sorted(make().list_images()) == ["B 2.MP4", "p1_a.frames"]


def test_videos_stay_while_the_list_is_renewed(make):
    datastore = make()
    stop = threading.Event()

    def renew():
        while not stop.is_set():
            datastore.refresh()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        assert all("p1_a.frames" in datastore for _ in range(2000))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "name", ["a.txt", "../a.mp4", "a/b.mp4", ".a.mp4", "", ".mp4", "a\n.mp4", "a.frames", "x" * 300 + ".mp4"]
)
def test_bad_names(name):
    with pytest.raises(InputError, match="is no name for a video"):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "patient"), [("p07_caecum.mp4", "p07"), ("p07_2.frames", "p07"), ("p7.mkv", "p7"), ("a b_c_d.avi", "a b")]
)
def test_the_patient_of_a_video(name, patient):
    assert patient_of_video(name) == patient


def test_the_next_frame(studies, open_store):
    store: VideoStore = open_store()
    video = store["p1_a.frames"]
    assert next_frame([video], "doubt") == {"id": video.id, "frame": 0, "doubt": None}
    video.begin_annotation()
    for frame in range(12):
        labels = video.mask(frame).labels
        labels[:20, :20] = frame != 4
        before = video.mask(frame - 1).labels if frame else labels
        change = float(((before > 0) != (labels > 0)).any())
        video.write_prediction("predicted", frame, labels, scores=0.9, uncertainty=0.9 * (frame == 7), changes=change)
    video.end_annotation("model")
    found = {name: next_frame([video], name)["frame"] for name in ("uncertainty", "disagreement", "doubt")}
    assert found == {"uncertainty": 7, "disagreement": 4, "doubt": 4}
    video.save_correction(4, video.mask(4).labels, "ann")
    assert next_frame([video], "doubt")["frame"] == 7
    video.set_final(True, "ann")
    with pytest.raises(NotFound, match="no video left"):
        next_frame([video], "doubt")
