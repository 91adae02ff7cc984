"""The last line of an inference: what it wrote, and where to look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

__all__ = ["log_written"]

logger = logging.getLogger(__name__)


def log_written(written: Mapping[str, tuple[int, int]], output_dir: str | Path) -> None:
    """Log how many clips and frames a run wrote, how many frames have a polyp, and the place to look at first.

    Args:
        written: for each clip, the numbers of its frames and of those with a polyp, as
            :class:`lsinet_monai.handlers.ClipResultsSaver` counts them.
        output_dir: the folder of all results.
    """
    if not written:
        logger.info("wrote 0 clips")
        return
    frames, with_polyp = (sum(counts) for counts in zip(*written.values(), strict=True))
    logger.info(
        "wrote %s, %s, %d with a polyp: look at %s",
        _count(len(written), "clip"),
        _count(frames, "frame"),
        with_polyp,
        _first_look(list(written), Path(output_dir)),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _first_look(clip_ids: list[str], output_dir: Path) -> Path:
    """The overlay of a single clip, or the folder of overlays; without overlays the same of masks, or all results."""
    names = [f"{clip_ids[0]}.mp4", f"{clip_ids[0]}.gif", clip_ids[0]] if len(clip_ids) == 1 else [""]
    places = (output_dir / kind / name for kind in ("overlays", "masks") for name in names)
    return next((place for place in places if place.exists()), output_dir)
