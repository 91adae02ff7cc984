"""Lists of videos: a text with a path a line, or a Parquet table."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, BinaryIO

from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra

__all__ = ["LIST_SUFFIXES", "read_list"]

_TEXT, _PARQUET = ".txt", ".parquet"
LIST_SUFFIXES = (_TEXT, _PARQUET)
"""Files with these suffixes are lists of videos."""

_COLUMN = "path"


def read_list(file: BinaryIO, name: str) -> list[tuple[str, str]]:
    """Read the paths of a list.

    Args:
        file: the open file: a text in UTF-8 with a path a line, in which empty lines and those that begin with ``#``
            are left out; or a Parquet table with a column ``path``, such as the ``results.parquet`` of another archive.
        name: its path; the suffix, one of :data:`LIST_SUFFIXES`, says which of the two it is.

    Returns:
        For each path the line or row, in words, and the path as written.

    Raises:
        InputError: it is no such list, or is empty.
    """
    is_table = PurePosixPath(name).suffix.lower() == _PARQUET
    found = _read_table(file, name) if is_table else _read_text(file, name)
    if not found:
        raise InputError(f"{name}: names no video")
    return found


def _read_text(file: BinaryIO, name: str) -> list[tuple[str, str]]:
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is no list: give a text file in UTF-8 with the path of a video a line") from error
    if "\0" in text:
        raise InputError(f"{name}: is no list: give a text file with the path of a video a line")
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(f"line {number}", line) for number, line in lines if line and not line.startswith("#")]


def _read_table(file: BinaryIO, name: str) -> list[tuple[str, str]]:
    arrow, parquet = require_extra("pyarrow", "archive"), require_extra("pyarrow.parquet", "archive")
    try:
        with parquet.ParquetFile(file) as table:
            columns = table.schema_arrow.names
            if _COLUMN not in columns:
                raise InputError(
                    f"{name}: has no column {_COLUMN!r} with the paths of the videos, only {', '.join(columns)}"
                )
            values: list[Any] = table.read(columns=[_COLUMN])[_COLUMN].to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{name}: cannot be read as a Parquet table ({str(error).partition('.')[0]})") from error
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str) or not value:
            raise InputError(f"{name}: row {number}: {_COLUMN} is {value!r}, not the path of a video")
    return [(f"row {number}", value) for number, value in enumerate(values, start=1)]
