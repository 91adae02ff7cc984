from __future__ import annotations

from lib.store.history import History


def test_entries_come_back_in_order(tmp_path):
    history = History(tmp_path / "video")
    assert history.entries() == []
    history.add("Zoë", "save", frame=3, version=1)
    history.add("bob", "final")
    entries = History(tmp_path / "video").entries()
    assert [(entry["user"], entry["action"], entry.get("frame")) for entry in entries] == [
        ("Zoë", "save", 3),
        ("bob", "final", None),
    ]
    assert all(entry["time"].endswith("Z") for entry in entries)


def test_a_line_that_was_cut_off_spoils_only_itself(tmp_path):
    history = History(tmp_path)
    history.add("ann", "save", frame=3)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('\n{"time": "20')
    history.add("bob", "save", frame=4)
    assert [entry["frame"] for entry in history.entries()] == [3, 4]


def test_the_newest_version_of_each_frame(tmp_path):
    history = History(tmp_path)
    for frame, version in ((3, 1), (5, 1), (3, 2)):
        history.add("ann", "save", frame=frame, version=version)
    history.add("ann", "merge", into=1)
    assert history.versions() == {3: 2, 5: 1}
