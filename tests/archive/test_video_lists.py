"""Lists of videos."""

from __future__ import annotations

import io
import re

import pytest

from lsinet_monai.archive.video_lists import read_list
from lsinet_monai.errors import InputError

arrow = pytest.importorskip("pyarrow", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci


def _table(**columns: list[object]) -> bytes:
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(arrow.table(columns), file)
    return file.getvalue()


LISTS = [
    ("a.txt", b"# ours\n\nx.mp4\n  s3://b/y z.mp4 \n", [("line 3", "x.mp4"), ("line 4", "s3://b/y z.mp4")]),
    ("a.TXT", b"\xef\xbb\xbfx.mp4\r\ny.mp4", [("line 1", "x.mp4"), ("line 2", "y.mp4")]),
    ("a.parquet", _table(path=["x.mp4", "y.mp4"], frames=[1, 2]), [("row 1", "x.mp4"), ("row 2", "y.mp4")]),
]

NO_LISTS = [
    ("a.txt", b"", "a.txt: names no video"),
    ("a.txt", b"# nothing\n", "a.txt: names no video"),
    ("a.txt", b"\xff\xd8\xff\xe0", "a.txt: is no list: give a text file in UTF-8 with the path of a video a line"),
    ("a.txt", b"a\0b", "a.txt: is no list: give a text file"),
    ("a.parquet", b"PAR1 no table", "a.parquet: cannot be read as a Parquet table"),
    ("a.parquet", _table(file=["x.mp4"]), "a.parquet: has no column 'path' with the paths of the videos, only file"),
    ("a.parquet", _table(path=["x.mp4", None]), "a.parquet: row 2: path is None, not the path of a video"),
    ("a.parquet", _table(path=[1]), "a.parquet: row 1: path is 1, not the path of a video"),
]


@pytest.mark.parametrize(("name", "content", "paths"), LISTS)
def test_paths(name: str, content: bytes, paths: list[tuple[str, str]]) -> None:
    assert read_list(io.BytesIO(content), name) == paths


@pytest.mark.parametrize(("name", "content", "said"), NO_LISTS)
def test_what_is_no_list(name: str, content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        read_list(io.BytesIO(content), name)
