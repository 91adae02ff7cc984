"""The datastore of videos, as MONAI Label's clients see it."""

from __future__ import annotations

import threading
import zipfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

pytest.importorskip("monailabel")

from lib.call_files import call_folder
from lib.datastore import VideoDatastore, check_name
from lib.errors import Conflict, NotFound

from lsinet_monai.errors import InputError


@pytest.fixture
def make(studies):
    """Opens the datastore of a folder with a video of frames, a file with a video's name, and other things."""
    (studies / "B 2.MP4").write_bytes(b"x")
    (studies / "notes.txt").write_bytes(b"x")
    (studies / "file.frames").write_bytes(b"x")
    (studies / "folder.mp4").mkdir()
    return lambda removal=nullcontext: VideoDatastore(str(studies), False, removal)


def test_ids_are_file_names(make, studies):
    datastore = make()
    assert sorted(datastore.list_images()) == ["B 2.MP4", "p1_a.frames"]
    assert datastore.path("p1_a.frames") == studies / "p1_a.frames"
    with pytest.raises(NotFound, match=r"there is no video 'notes\.txt'"):
        datastore.path("notes.txt")


def test_links_out_of_the_folder_are_left_out(make, studies):
    (studies.parent / "secret.mp4").write_bytes(b"x")
    (studies.parent / "secret.frames").mkdir()
    (studies / "c.mp4").symlink_to(studies.parent / "secret.mp4")
    (studies / "c.frames").symlink_to(studies.parent / "secret.frames")
    (studies / "d.mp4").symlink_to("B 2.MP4")
    (studies / "e.frames").mkdir()
    (studies / "e.frames" / "0.png").symlink_to(studies.parent / "secret.mp4")
    assert sorted(make().list_images()) == ["B 2.MP4", "d.mp4", "p1_a.frames"]
    (studies / "B 2.MP4").unlink()  # this one was listed before
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


def test_a_label_whose_suffix_is_in_capitals_takes_the_place_of_the_one_before(make, tmp_path):
    for name in ("x.nii.gz", "x.NII.GZ"):
        (tmp_path / name).write_text(name)
        make().save_label("B 2.MP4", str(tmp_path / name), "final", {})
    label = make().get_label_uri("B 2.MP4", "final")
    assert Path(label).read_text() == "x.NII.GZ" and [file.name for file in Path(label).parent.iterdir()] == [
        "B 2.MP4.nii.gz"
    ]


@pytest.mark.parametrize("tag", ["../../x", "", "other"])
def test_labels_with_another_tag_are_refused(make, tmp_path, tag):
    (tmp_path / "x.json").write_text("{}")
    datastore = make()
    with pytest.raises(InputError, match="tag="):
        datastore.save_label("B 2.MP4", str(tmp_path / "x.json"), tag, {})
    assert datastore.get_label_uri("B 2.MP4", tag) == ""


def test_a_video_is_removed_inside_the_removal(make, studies):
    steps = []

    @contextmanager
    def removal(image_id):
        steps.append((image_id, "B 2.MP4" in datastore))
        yield
        steps.append((image_id, "B 2.MP4" in datastore))

    datastore = make(removal)
    datastore.remove_image("B 2.MP4")
    assert steps == [("B 2.MP4", True), ("B 2.MP4", False)] and not (studies / "B 2.MP4").exists()


def test_a_list_that_was_not_written_to_the_end_leaves_the_one_before(make, studies, monkeypatch):
    datastore = make()
    monkeypatch.setattr("lib.datastore.json.dumps", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datastore.update_image_info("B 2.MP4", {"x": 1})
    monkeypatch.undo()
    assert sorted(make().list_images()) == ["B 2.MP4", "p1_a.frames"]


def test_videos_stay_listed_during_a_refresh(make):
    datastore = make()
    stop = threading.Event()

    def refresh_all():
        while not stop.is_set():
            datastore.refresh()

    thread = threading.Thread(target=refresh_all)
    thread.start()
    try:
        assert all("p1_a.frames" in datastore for _ in range(2000))
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def gif(tmp_path):
    """A file that can be uploaded."""
    path = tmp_path / "upload.gif"
    Image.new("L", (32, 32)).save(path, save_all=True, append_images=[Image.new("L", (32, 32), 200)])
    return path


def test_threads_that_read_and_change_it_do_not_meet(make, gif, tmp_path):
    datastore, errors = make(), []

    def add(name):
        for number in range(6):
            datastore.add_image(f"{name}{number}.gif", str(gif), {"by": name})
            (label := tmp_path / f"{name}{number}.json").write_text(name)
            datastore.save_label(f"{name}{number}.gif", str(label), "final", {"by": name})
            assert datastore.get_label_info(f"{name}{number}.gif", "final")["by"] == name

    def add_and_remove(name):
        for _ in range(6):
            datastore.add_image(f"{name}.gif", str(gif), {})
            datastore.remove_image(f"{name}.gif")

    def read(_):
        for _ in range(40):
            assert "p1_a.frames" in datastore and {"B 2.MP4"} <= {*datastore.list_images()}
            assert datastore.json()["objects"] and datastore.status()["total"] >= 2
            assert len(datastore.datalist()) <= len(datastore.get_labeled_images()) <= 12
            datastore.describe_labels("B 2.MP4", {"doubt": 0.5})
            datastore._on_modify_event(SimpleNamespace(src_path=datastore._datastore_config_path))

    def run(work, name):
        try:
            work(name)
        except Exception as error:
            errors.append(error)

    work = [(add, "a"), (add, "b"), (add_and_remove, "c"), (read, "d"), (read, "e")]
    threads = [threading.Thread(target=run, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    added = [f"{name}{number}.gif" for name in "ab" for number in range(6)]
    for each in (datastore, make()):
        assert sorted(each.get_labeled_images()) == added and "c.gif" not in each
        assert [Path(each.get_label_uri(name, "final")).read_text() for name in added] == ["a"] * 6 + ["b"] * 6


def test_two_clients_send_one_name(make, gif, studies):
    datastore, answers = make(), []

    def add():
        try:
            answers.append(datastore.add_image("new.gif", str(gif), {}))
        except Conflict:
            answers.append(None)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers, key=str) == [None] * 3 + ["new.gif"]
    assert not [*studies.glob(".lsinet*")]


def test_what_an_upload_left_that_was_cut_off_is_removed(make, gif, studies, monkeypatch):
    datastore = make()

    def kill(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.unlink", kill)
    monkeypatch.setattr("os.replace", kill)
    with pytest.raises(KeyboardInterrupt):
        datastore.add_image("new.gif", str(gif), {})
    monkeypatch.undo()
    assert len([*studies.glob(".lsinet*")]) == 1 and "new.gif" not in make()
    datastore.remove_incomplete()
    assert not [*studies.glob(".lsinet*")]


def test_the_archive_has_videos_and_their_final_labels(make, gif, tmp_path):
    datastore = make()
    with pytest.raises(InputError, match="no video has a final label"):
        datastore.get_dataset_archive(None)
    (tmp_path / "x.json").write_text("{}")
    datastore.add_image("a.gif", str(gif), {})
    for name in ("a.gif", "p1_a.frames"):
        datastore.save_label(name, str(tmp_path / "x.json"), "final", {})
    frames = [f"image/p1_a.frames/{index:03d}.png" for index in range(12)]
    with call_folder(tmp_path / "call"):
        for limit, names in ((1, []), (None, [*frames, "label/p1_a.frames.json"])):
            with zipfile.ZipFile(datastore.get_dataset_archive(limit)) as archive:
                assert archive.namelist() == ["image/a.gif", "label/a.gif.json", *names, "metadata.json"]


def test_a_video_is_added_once(make, studies, tmp_path):
    datastore = make()
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"new\.mp4"):
        datastore.add_image("new.mp4", str(tmp_path / "bad.mp4"), {})
    assert "new.mp4" not in datastore and not (studies / "new.mp4").exists()
    with pytest.raises(InputError, match="cannot be the name"):
        datastore.add_image("new", str(tmp_path / "bad.txt"), {})


@pytest.mark.parametrize(
    "name", ["a.txt", "../a.mp4", "a/b.mp4", ".a.mp4", "", ".mp4", "a\n.mp4", "a.frames", "x" * 300 + ".mp4"]
)
def test_bad_names(name):
    with pytest.raises(InputError, match="cannot be the name of a video"):
        check_name(name)


def test_videos_of_all_suffixes_are_listed_and_others_named(make, studies, caplog):
    names = ["a.mp4", "b.Mp4", "c.asf", "d.3gp", "e.MTS", "f.m2ts", "g.vob", "h.hevc"]
    for name in (*names, "x.ivf", "trail.mp4 "):
        (studies / name).write_bytes(b"x")
    (studies / "gone.mp4").symlink_to(".git/annex/objects/x")
    (studies / "gone.frames").mkdir()
    (studies / "gone.frames" / "1.png").symlink_to("../.git/annex/objects/x")
    datastore = make()
    datastore.refresh()
    assert sorted(datastore.list_images()) == sorted(["B 2.MP4", "p1_a.frames", *names])
    left_out = [record.message for record in caplog.records if "is left out" in record.message]
    assert sorted(line.partition(" is left out")[0] for line in left_out) == [
        "'gone.frames'", "'gone.mp4'", "'trail.mp4 '", "'x.ivf'",
    ]  # fmt: skip
    assert sum("fetch its content" in line for line in left_out) == 2


def test_a_name_gets_no_suffix_twice(make, tmp_path):
    (tmp_path / "up.gxf").write_bytes(b"x")
    with pytest.raises(InputError, match=r"^'up_c\.gxf' cannot be the name"):
        make().add_image("up_c.gxf", str(tmp_path / "up.gxf"), {})
    assert check_name("up_c.asf") == "up_c.asf"
