"""A clip's ``summary.json``: its frames' scores and its polyp intervals. Written last, it marks a finished clip."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.masks import polyp_intervals
from lsinet_monai.utils.files import atomic_write
from lsinet_monai.writers.frame_records import FrameRecord

__all__ = ["SUMMARY_FILE", "read_summary", "summarise", "write_summary"]

SUMMARY_FILE = "summary.json"


def summarise(
    clip_id: str,
    records: Sequence[FrameRecord],
    threshold: float,
    min_area: float,
    frame_seconds: float | None = None,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Summarise a clip.

    Args:
        clip_id: the clip's name.
        records: its frames, in order.
        threshold: the probability above which a pixel belongs to the mask, in [0, 1].
        min_area: the fraction of a frame that a polyp's mask exceeds, in [0, 1].
        frame_seconds: the time between frames, if known.
        about: further entries, by key.

    Returns:
        The content of ``summary.json``.
    """
    by_index = {record.index: record for record in records}
    frames = range(records[0].index, records[-1].index + 1) if records else range(0)
    # Missing frames, skipped because they are damaged, count as frames without a polyp.
    flags = [index in by_index and by_index[index].has_polyp for index in frames]
    intervals = [
        {
            "first": first.index,
            "last": last.index,
            "first_frame": first.stem,
            "last_frame": last.stem,
            "first_seconds": first.seconds,
            "last_seconds": last.seconds,
        }
        for first, last in ((by_index[frames[a]], by_index[frames[b]]) for a, b in polyp_intervals(flags))
    ]
    return {
        "clip": clip_id,
        "size": [records[0].height, records[0].width] if records else [],
        "threshold": threshold,
        "min_area": min_area,
        "frame_seconds": frame_seconds,
        **(about or {}),
        "counts": {
            "frames": len(records),
            "frames_with_polyp": sum(flags),
            "frames_left_empty": sum(record.left_empty for record in records),
            "intervals": len(intervals),
        },
        "intervals": intervals,
        "frames": [record.summary() for record in records],
    }


def write_summary(output_dir: str | Path, clip_id: str, summary: Mapping[str, Any]) -> None:
    """Write a clip's summary; the file appears complete or not at all."""
    with atomic_write(Path(output_dir) / clip_id / SUMMARY_FILE) as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def read_summary(output_dir: str | Path, clip_id: str) -> dict[str, Any] | None:
    """Read a clip's summary.

    Returns:
        The summary, or None if the clip has none: then its results are incomplete.

    Raises:
        InputError: the file is not a summary.
    """
    path = Path(output_dir) / clip_id / SUMMARY_FILE
    if not path.is_file():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        summary = None
    if not isinstance(summary, dict):
        raise InputError(f"{path}: not a clip's summary; remove it to segment the clip again")
    return summary
