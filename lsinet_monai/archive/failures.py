"""How often each video of an archive has failed, and why: ``failures.jsonl``, a line for each failure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.utils.files import atomic_write

__all__ = ["TRIES", "Failures"]

TRIES = 3
"""A video that has failed this many times is set aside."""


class Failures:
    """The failures of an archive's videos. They outlive the run, so that an interrupted one counts on.

    A video whose size or path has changed may be another one, and has not failed yet.

    Args:
        path: the file.
        forget: the videos whose failures in earlier runs do not count.
    """

    def __init__(self, path: Path, forget: Iterable[ArchiveVideo] = ()) -> None:
        self._path = path
        self._reasons: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        forgotten = {video.name for video in forget}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        known = [entry for line in lines if (entry := _parse(line)) and entry["video"] not in forgotten]
        for entry in known:
            self._reasons[entry["video"], entry["path"], entry["bytes"]].append(entry["reason"])
        # A line that a crash cut short would otherwise swallow the next one.
        if path.exists():
            with atomic_write(path) as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in known), encoding="utf-8")

    def add(self, video: ArchiveVideo, reason: str) -> None:
        """Note that a video has failed.

        Raises:
            OSError: the file cannot be written.
        """
        self._reasons[_key(video)].append(reason)
        line = json.dumps({"video": video.name, "path": video.path, "bytes": video.size, "reason": reason})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def is_set_aside(self, video: ArchiveVideo) -> bool:
        """Whether a video has failed so often that it is not tried again."""
        return len(self._reasons[_key(video)]) >= TRIES

    def reason(self, video: ArchiveVideo) -> str:
        """Why a video failed: its last failure, and the number of tries."""
        reasons = self._reasons[_key(video)]
        return f"{reasons[-1]} ({len(reasons)} tries)"


def _key(video: ArchiveVideo) -> tuple[str, str, int]:
    return video.name, video.path, video.size


def _parse(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"video", "path", "bytes", "reason"} <= entry.keys() else None
