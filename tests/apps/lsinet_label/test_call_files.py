from __future__ import annotations

import tempfile
from pathlib import Path

from lib.call_files import TemporaryNames, call_folder, new_file, uploaded_file


def test_the_files_of_a_call_lie_in_its_folder(tmp_path):
    with call_folder(tmp_path / "call"):
        assert uploaded_file() is None
        named = Path(TemporaryNames.NamedTemporaryFile(suffix=".mp4").name)
        assert (named.parent, named.suffix, named.exists()) == (tmp_path / "call", ".mp4", False)
        named.touch()
        assert uploaded_file() == named
    assert uploaded_file() is None and new_file(".json").parent == Path(tempfile.gettempdir())
