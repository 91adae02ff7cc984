"""The archive's report: one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.table import is_partial
from lsinet_monai.archive.videos import THUMBNAIL
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write
from lsinet_monai.version import __version__

__all__ = ["write_report"]

_CARDS = 24
_ROWS = 500
_INTERVALS = 4
_UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))

Row = Mapping[str, Any]


def write_report(folder: ArchiveFolder, rows: Sequence[Row]) -> None:
    """Write ``report.html``: how much was done, the most doubtful videos with a picture of each, and what failed.

    Args:
        folder: the archive's folder, with the thumbnails.
        rows: the rows of the archive's table.

    Raises:
        InputError: Jinja is not installed.
        OSError: the file cannot be written.
    """
    jinja = require_extra("jinja2", "archive")
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = _clock
    done = [row for row in rows if row["error"] is None]
    worst = sorted(done, key=lambda row: (-(row["doubt"] or 0.0), row["video"]))
    aside = sorted((row for row in rows if row["error"] is not None), key=lambda row: row["video"])
    partial = sorted(filter(is_partial, done), key=lambda row: (-(row.get("frames_missing") or 0), row["video"]))
    page = environment.from_string(template).render(
        version=__version__,
        tiles=_tiles(done),
        models=sorted({row["model"] for row in done if row["model"]}),
        cards=[(row, _picture(folder, row), _intervals(row)) for row in worst[:_CARDS]],
        rows=[(row, _intervals(row)) for row in worst[:_ROWS]],
        left_out=max(0, len(worst) - _ROWS),
        partial=partial[:_ROWS],
        all_partial=len(partial),
        aside=aside[:_ROWS],
        all_aside=len(aside),
    )
    with atomic_write(folder.report) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _tiles(done: Sequence[Row]) -> list[tuple[str, str]]:
    length = sum(row["seconds"] or 0.0 for row in done)
    unit, words = next(((unit, words) for unit, words in _UNITS if length >= unit), _UNITS[-1])
    with_polyp = sum(bool(row["intervals"]) for row in done)
    compute = sum(row["compute_seconds"] or 0.0 for row in done)
    frames = sum(row["frames"] for row in done)
    return [
        (f"{len(done):,}", "videos done" if len(done) != 1 else "video done"),
        (f"{length / unit:,.1f}", f"{words} of video"),
        (f"{frames:,}", "frames"),
        (f"{with_polyp:,}", "videos with a polyp" if with_polyp != 1 else "video with a polyp"),
        (f"{sum(len(row['intervals']) for row in done):,}", "intervals with a polyp"),
        (f"{frames / compute:,.1f}" if compute else "-", "frames/s of a worker"),
    ]


def _picture(folder: ArchiveFolder, row: Row) -> str:
    path = folder.place(row["video"]) / THUMBNAIL
    if not path.exists():
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _intervals(row: Row) -> str:
    """The intervals with a polyp as times, or as frames if there are no times."""
    if not row["intervals"]:
        return "none found"
    texts = []
    for found in row["intervals"][:_INTERVALS]:
        if found["first_seconds"] is None:
            texts.append(f"frames {found['first']}-{found['last']}")
        else:
            texts.append(f"{_clock(found['first_seconds'])}-{_clock(found['last_seconds'])}")
    more = len(row["intervals"]) - _INTERVALS
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _clock(seconds: float | None) -> str:
    """Hours, minutes and seconds, such as 1:02:03 or 2:03."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
