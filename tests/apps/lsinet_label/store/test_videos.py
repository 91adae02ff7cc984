from __future__ import annotations

import subprocess
import sys

import pytest


def test_a_removed_video_leaves_nothing(open_store, drawn):
    store = open_store()
    video = store["p1_a.frames"]
    assert store["p1_a.frames"] is video
    video.save_correction(3, drawn(), "ann")
    store.remove("p1_a.frames")
    assert not video.folder.exists() and store["p1_a.frames"].corrections == {}


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.mkdir(), lambda path: None])
def test_scratch_files_and_folders_are_removed(open_store, make):
    with open_store().scratch(".json") as path:
        assert path.suffix == ".json" and not path.exists()
        make(path)
    assert not path.exists() and list(path.parent.iterdir()) == []


def test_what_killed_processes_left_is_removed(open_store):
    store = open_store()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with store.scratch(".mp4") as mine:
        mine.touch()
        left = [mine.with_name(f"{ended.pid}-ab.mp4"), mine.with_name(f"{ended.pid}-cd")]
        left[0].touch()
        left[1].mkdir()
        (left[1] / "frame.png").touch()
        store.clear_scratch()
        assert [*mine.parent.iterdir()] == [mine]
        store.clear_scratch(all_of_it=True)
        assert [*mine.parent.iterdir()] == []
