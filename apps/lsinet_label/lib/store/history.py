"""Who did what, and when: ``history.jsonl``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lib.store.files import utc_now

__all__ = ["History"]


class History:
    """The actions of people on one video, one line each.

    Args:
        folder: the video's folder in the store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[dict[str, Any]]:
        """All actions in order: ``time``, ``user``, ``action``, and its details such as ``frame`` and ``version``."""
        try:
            lines = (self._folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except ValueError:  # a server that was killed leaves its last line cut off
                continue
        return entries

    def versions(self) -> dict[int, int]:
        """The newest version of each frame that was ever corrected, by frame."""
        versions: dict[int, int] = {}
        for entry in self.entries():
            frame, version = entry.get("frame"), entry.get("version")
            if frame is not None and version is not None:
                versions[frame] = max(version, versions.get(frame, 0))
            for frame, version in entry.get("versions", {}).items():  # of a stretch of frames
                versions[int(frame)] = max(version, versions.get(int(frame), 0))
        return versions

    def add(self, user: str, action: str, **details: Any) -> None:
        """Append an action. It is on the disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        entry = json.dumps({"time": utc_now(), "user": user, "action": action} | details)
        with (self._folder / "history.jsonl").open("a", encoding="utf-8") as file:
            # The line break comes first: after a line that was cut off, the new line can still be read.
            file.write(("\n" if file.tell() else "") + entry)
            file.flush()
            os.fsync(file.fileno())
