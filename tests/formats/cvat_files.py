"""Files as people export them from CVAT, for the tests of its reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lsinet_monai.formats import ClipLabels

OUTSIDE = 'outside="1"'


def polygon(frame: int, x: int = 0, more: str = "", inner: str = "") -> str:
    """A square of 4x4 pixels whose left edge is at x."""
    points = f"{x},0;{x + 4},0;{x + 4},4;{x},4"
    return f'<polygon frame="{frame}" points="{points}" {more}>{inner}</polygon>'


def track(label: str, *shapes: str, more: str = "") -> str:
    return f'<track label="{label}" {more}>{"".join(shapes)}</track>'


def of_task(tracks: str, task: str = "<size>9</size><stop_frame>8</stop_frame>") -> str:
    """The file of a task, of 9 frames by default."""
    return f"<annotations><meta><task>{task}</task></meta>{tracks}</annotations>"


def write(folder: Path, content: str) -> Path:
    path = folder / "b.xml"
    path.write_text(content)
    return path


def left_edges(labels: ClipLabels) -> dict[int, list[int]]:
    """Each frame, and the left edges of its lesions."""
    return {
        index: sorted(int(np.flatnonzero((frame == lesion).any(0))[0]) for lesion in np.unique(frame[frame > 0]))
        for index, frame in labels.items()
    }
