from __future__ import annotations

import pytest
from lib.errors import NotFound
from lib.store import encode_mask
from lib.store.undo_log import UndoLog, digest, read_backup


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
