"""One CSV line per frame, written at once, so that a stopped run keeps its finished frames."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from lsinet_monai.utils.files import atomic_write

__all__ = ["FrameRecord", "RecordFile", "read_records", "write_records"]

# File names may hold any bytes.
_ENCODING: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


@dataclass(frozen=True)
class FrameRecord:
    """One frame of a clip in numbers; the columns of ``frames.csv``.

    Args:
        index: its index in the clip, from 0.
        file: its file name, or its number for a frame of a video.
        seconds: its time in the clip, if known.
        height: its height in pixels.
        width: its width in pixels.
        area: the fraction of the frame that the mask covers, in [0, 1].
        score: :func:`lsinet_monai.masks.frame_score`, in [0, 1].
        uncertainty: :func:`lsinet_monai.masks.uncertainty`, in bits, in [0, 1].
        has_polyp: :func:`lsinet_monai.masks.has_polyp`.
        left_empty: whether its mask is empty because the network gave no finite numbers for it.
    """

    index: int
    file: str
    seconds: float | None
    height: int
    width: int
    area: float
    score: float
    uncertainty: float
    has_polyp: bool
    left_empty: bool = False

    @property
    def stem(self) -> str:
        """The frame's name: its file name without the suffix."""
        return Path(self.file).stem

    def summary(self) -> dict[str, Any]:
        """The frame's entry in ``summary.json``."""
        entry = asdict(self)
        del entry["height"], entry["width"], entry["file"]
        return {"frame": self.stem} | entry


_COLUMNS = [field.name for field in fields(FrameRecord)]


def write_records(path: str | Path, records: Iterable[FrameRecord]) -> None:
    """Write a CSV file of frames; it appears complete or not at all."""
    with atomic_write(path) as temporary, temporary.open("w", **_ENCODING) as file:
        file.write(_line(_COLUMNS))
        for record in records:
            file.write(_line(astuple(record)))


def read_records(path: str | Path) -> list[FrameRecord]:
    """Read a CSV file of frames. A stopped run may have left its last line incomplete.

    Returns:
        The frames up to the first incomplete line; an empty list if the file does not exist.
    """
    path = Path(path)
    if not path.exists():
        return []
    with path.open(**_ENCODING) as file:
        whole, end, _ = file.read().rpartition("\n")
    rows = csv.reader(StringIO(whole + end, newline=""))
    records = []
    try:
        for index, file_name, seconds, height, width, area, score, uncertainty, *flags in list(rows)[1:]:
            # An earlier version wrote one flag.
            has_polyp, left_empty = ({"True": True, "False": False}[flag] for flag in [*flags, "False"][:2])
            records.append(
                FrameRecord(
                    int(index),
                    file_name,
                    float(seconds) if seconds else None,
                    int(height),
                    int(width),
                    float(area),
                    float(score),
                    float(uncertainty),
                    has_polyp,
                    left_empty,
                )
            )
    except (ValueError, KeyError, csv.Error):
        return records
    return records


class RecordFile:
    """A CSV file of frames that grows line by line.

    Args:
        path: the file; missing folders are created.
        records: the frames to start with.
    """

    def __init__(self, path: str | Path, records: Iterable[FrameRecord]) -> None:
        write_records(path, records)
        self._file = Path(path).open("a", **_ENCODING)  # noqa: SIM115  # closed by close()

    def append(self, record: FrameRecord) -> None:
        """Add a frame. Its line reaches the file before this returns, so it survives a killed process."""
        self._file.write(_line(astuple(record)))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(values: Iterable[Any]) -> str:
    line = StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
