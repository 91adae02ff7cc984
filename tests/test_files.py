from __future__ import annotations

from pathlib import Path

import pytest

from lsinet_monai.files import whole_file


def test_a_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as temporary:
        temporary.write_text("one")
        assert temporary.parent == path.parent and not path.exists()
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_earlier_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("one")
    with pytest.raises(RuntimeError), whole_file(str(path)) as temporary:
        temporary.write_text("two")
        raise RuntimeError
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "file.txt"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 127])
def test_the_longest_names_that_there_are(tmp_path: Path, name: str) -> None:
    with whole_file(tmp_path / name) as temporary:
        temporary.write_text("one")
    assert [path.name for path in tmp_path.iterdir()] == [name]
