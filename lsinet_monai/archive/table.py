"""The numbers of one video in the archive's table, and the table itself, ``results.parquet``."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError
from lsinet_monai.formats import read_mask_table
from lsinet_monai.masks import frame_doubts, temporal_disagreement, video_doubt
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = [
    "describe",
    "doubts_of",
    "failed_row",
    "is_partial",
    "most_doubtful",
    "read_table",
    "versions",
    "write_table",
]

_TIMES = ("first_seconds", "last_seconds")
_PACKAGES = ("lsinet_monai", "torch", "monai", "ray")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that shape results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def doubts_of(summary: Mapping[str, Any], mask_table: str | Path) -> list[float | None]:
    """Rate each frame of a video by :func:`~lsinet_monai.masks.frame_doubts`.

    Args:
        summary: the video's summary.
        mask_table: its masks, see :func:`~lsinet_monai.formats.write_mask_table`; no file if it has no frame.

    Returns:
        The doubts of the summary's frames, in [0, 1].
    """
    coco_masks = require_extra("pycocotools.mask", "video")
    codes = dict(read_mask_table(mask_table)) if Path(mask_table).exists() else {}
    frames = [entry["index"] for entry in summary["frames"]]
    changes: list[float | None] = [None]
    for before, after in pairwise(frames):
        pair = [codes[index] for index in (before, after) if index in codes]
        both = float(coco_masks.iou([pair[0]], [pair[1]], [0])[0, 0]) if len(pair) == 2 else 0.0
        changes.append(1 - both if pair else 0.0)
    return frame_doubts(
        [entry["uncertainty"] for entry in summary["frames"]], temporal_disagreement(changes[: len(frames)])
    )


def most_doubtful(doubts: Sequence[float | None]) -> int | None:
    """The place of the highest doubt, of several the first; None if none is known."""
    known = [(doubt, -place) for place, doubt in enumerate(doubts) if doubt is not None]
    return -max(known)[1] if known else None


def describe(
    video: ArchiveVideo,
    sha256: str,
    summary: Mapping[str, Any],
    doubts: Sequence[float | None],
    compute_seconds: float,
) -> dict[str, Any]:
    """Describe a finished video: its row in ``results.parquet``.

    Args:
        video: the video.
        sha256: the hash of its file.
        summary: its ``summary.json``.
        doubts: see :func:`doubts_of`.
        compute_seconds: how long the worker took.

    Returns:
        Values by the names of the columns.
    """
    frames, settings = summary["frames"], summary["settings"]
    last, step = (frames[-1]["seconds"] if frames else None), summary["frame_seconds"]
    scores = [entry["score"] for entry in frames]
    worst = most_doubtful(doubts)
    return {
        "video": video.name,
        "path": video.path,
        "bytes": video.size,
        "sha256": sha256,
        "frames": len(frames),
        "frames_with_polyp": summary["counts"]["frames_with_polyp"],
        "seconds": None if last is None else last + (step or 0),
        "intervals": [{key: found[key] for key in ("first", "last", *_TIMES)} for found in summary["intervals"]],
        "max_score": max(scores, default=None),
        "mean_score": sum(scores) / len(scores) if scores else None,
        "doubt": video_doubt(doubts),
        "worst_frame": None if worst is None else frames[worst]["index"],
        "worst_seconds": None if worst is None else frames[worst]["seconds"],
        "model": settings["model_sha256"],
        "versions": versions(),
        "compute_seconds": compute_seconds,
        "frames_missing": _frames_missing(summary),
        "ends_early": bool((summary.get("reading") or {}).get("ends_early")),
        "error": None,
    }


def _frames_missing(summary: Mapping[str, Any]) -> int:
    """How many frames have no result: the damaged ones, and those that the file announces and does not hold."""
    reading = summary.get("reading") or {}
    expected = reading.get("frames_expected")
    return max(len(reading.get("frames_skipped") or ()), (expected or 0) - len(summary["frames"]))


def is_partial(row: Mapping[str, Any]) -> bool:
    """Whether a video that is done was cut off or damaged, so that frames are missing."""
    return row["error"] is None and bool(row.get("frames_missing") or row.get("ends_early"))


def failed_row(video: ArchiveVideo, model: str | None, error: str) -> dict[str, Any]:
    """The row of a video that is set aside."""
    return {
        "video": video.name, "path": video.path, "bytes": video.size, "model": model, "versions": versions(),
        "error": error,
    }  # fmt: skip


def _schema(arrow: Any) -> Any:
    interval = [("first", arrow.int64()), ("last", arrow.int64()), *((name, arrow.float64()) for name in _TIMES)]
    return arrow.schema(
        [
            ("video", arrow.string()),
            ("path", arrow.string()),
            ("bytes", arrow.int64()),
            ("sha256", arrow.string()),
            ("frames", arrow.int64()),
            ("frames_with_polyp", arrow.int64()),
            ("seconds", arrow.float64()),
            ("intervals", arrow.list_(arrow.struct(interval))),
            ("max_score", arrow.float64()),
            ("mean_score", arrow.float64()),
            ("doubt", arrow.float64()),
            ("worst_frame", arrow.int64()),
            ("worst_seconds", arrow.float64()),
            ("model", arrow.string()),
            ("versions", arrow.map_(arrow.string(), arrow.string())),
            ("compute_seconds", arrow.float64()),
            ("frames_missing", arrow.int64()),
            ("ends_early", arrow.bool_()),
            ("error", arrow.string()),
        ]
    )


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the archive's table, sorted by video. It appears complete or not at all."""
    arrow, parquet = require_extra("pyarrow", "archive"), require_extra("pyarrow.parquet", "archive")
    content = [{**row, "versions": list(row["versions"].items())} for row in sorted(rows, key=lambda row: row["video"])]
    with atomic_write(path, durable=True) as temporary:
        parquet.write_table(arrow.Table.from_pylist(content, schema=_schema(arrow)), temporary, compression="zstd")


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """Read the archive's table: the rows by video; none without a table.

    Raises:
        InputError: the file is damaged.
    """
    arrow, parquet = require_extra("pyarrow", "archive"), require_extra("pyarrow.parquet", "archive")
    if not path.exists():
        return {}
    try:
        rows = parquet.read_table(path, schema=_schema(arrow)).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: damaged; remove it, and it is made again from the folders of the videos") from error
    return {row["video"]: {**row, "versions": dict(row["versions"])} for row in rows}
