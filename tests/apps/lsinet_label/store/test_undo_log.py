from __future__ import annotations

import pytest
from lib.errors import NotFound
from lib.store import encode_mask
from lib.store.undo_log import UndoLog, digest, is_as_left, read_backup


def test_an_act_is_finished_once_it_is_noted(tmp_path):
    log = UndoLog(tmp_path / "undo")
    folder = log.folder_of(3)
    folder.mkdir(parents=True)
    log.keep(folder, "corrected", 7, b"png")
    log.keep(folder, "propagated", 8, None)
    assert (log.finished(), log.unfinished()) == ([], [folder])
    assert log.kept(folder) == [(7, "corrected"), (8, "propagated")]
    assert read_backup(folder, "corrected", 7) == b"png"
    assert read_backup(folder, "propagated", 8) is None
    with pytest.raises(NotFound, match="cannot be undone any more"):
        log.read(folder)
    log.write(folder, {"name": "empty"})
    assert (log.finished(), log.unfinished(), log.read(folder)) == ([folder], [], {"name": "empty"})


def test_a_digest_tells_masks_and_their_authors_apart_but_no_versions(drawn):
    texts = {"Author": "ann", "Version": "1"}
    same = [digest(encode_mask(drawn(1), texts | {"Version": version})) for version in ("1", "2")]
    others = [digest(encode_mask(drawn(2), texts)), digest(encode_mask(drawn(1), texts | {"Author": "bob"}))]
    assert same[0] == same[1] and len({same[0], *others, digest(None)}) == 4


def test_a_forgotten_act_is_never_taken_for_an_unfinished_one(tmp_path, monkeypatch):
    log = UndoLog(tmp_path / "undo")
    folder = log.folder_of(3)
    folder.mkdir(parents=True)
    log.keep(folder, "corrected", 7, b"png")
    log.write(folder, {"name": "empty"})
    with monkeypatch.context() as patch:
        patch.setattr("lib.store.undo_log.shutil.rmtree", lambda *_, **__: None)  # as if killed before it
        log.forget(folder)
    assert (log.finished(), log.unfinished()) == ([], [])
    log.folder_of(4).mkdir()
    log.forget(log.folder_of(4))
    assert not list((tmp_path / "undo").iterdir())


def test_only_an_undo_that_was_interrupted_may_have_brought_masks_back(tmp_path, drawn):
    log = UndoLog(tmp_path / "undo")
    folder = log.folder_of(3)
    folder.mkdir(parents=True)
    before, after, other = (encode_mask(drawn(lesion)) for lesion in (1, 2, 3))
    log.keep(folder, "propagated", 7, before)
    entry = {"frame": 7, "kind": "propagated", "after": digest(after)}
    found = {
        is_undoing: [is_as_left(folder, {"undoing": True} if is_undoing else {}, entry, now)
                     for now in (after, before, None, other)]
        for is_undoing in (False, True)
    }  # fmt: skip
    assert found == {False: [True, False, False, False], True: [True, True, True, False]}
    assert not is_as_left(folder, {"undoing": True}, entry | {"kind": "corrected", "frame": 8, "after": 1}, other)
