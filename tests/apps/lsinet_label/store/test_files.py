from __future__ import annotations

import os
import re

import pytest
from lib.store.files import utc_now, write_durably


def test_a_file_is_on_the_disk_with_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.path.realpath(f"/proc/self/fd/{file}")))
    write_durably(tmp_path / "new" / "file.json", b"content")
    assert (tmp_path / "new" / "file.json").read_bytes() == b"content"
    assert synced[-1] == str(tmp_path / "new") and len(synced) == 2


def test_a_full_disk_leaves_the_file_before(tmp_path, full_disk):
    write_durably(tmp_path / "file", b"before")
    full_disk("fsync")
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "file", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"before"


def test_the_time_is_utc():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", utc_now())
