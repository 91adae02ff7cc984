"""A video as clients see it."""

from __future__ import annotations

from typing import Any

from lib.store.masks import CHECKED
from lib.store.video import StoredVideo

__all__ = ["describe_video", "summarise_video"]


def summarise_video(video: StoredVideo) -> dict[str, Any]:
    """One row of the list of videos. It does not open the video: facts that are not known yet are None."""
    info = video.info
    height, width = info.get("size") or (None, None)
    corrections = video.corrections.values()
    checked = sum(correction.how == CHECKED for correction in corrections)
    return {
        "id": video.id,
        "name": video.id,
        "frames": info.get("frames"),
        "fps": info.get("fps"),
        "width": width,
        "height": height,
        "state": _state(video),
        "rank": video.values.rank(),
        "corrected": len(corrections) - checked,
        "checked": checked,
        "saves": video.saves,
        "without_mask": video.values.without_mask(),
        "unreadable": len(video.values.unreadable()),
        "error": info.error,
    }


def _state(video: StoredVideo) -> str:
    if video.info.error:
        return "failed"
    if video.info.is_final:
        return "final"
    if video.corrections:
        return "corrected"
    if video.info.is_annotated:
        return "annotated"
    return "partly annotated" if video.values.without_mask() < (video.info.get("frames") or 0) else "new"


def describe_video(video: StoredVideo) -> dict[str, Any]:
    """The summary, with the details of the frames, the corrections and the lesions.

    Raises:
        InputError: the video cannot be read.
    """
    video.info.open_once()
    return summarise_video(video) | {
        "seconds": video.info.get("seconds"),
        **{name: video.values.per_frame(name) for name in ("scores", "uncertainty", "has_polyp")},
        "doubt": video.values.doubts(),
        "unclear": video.values.unclear(),
        "corrections": [
            {"frame": c.frame, "user": c.user, "time": c.time, "empty": c.empty, "how": c.how, "version": c.version}
            for c in video.corrections.values()
        ],
        "propagated": sorted(set(video.propagated_frames()) - video.corrections.keys()),
        "lesions_in": video.lesions.per_frame(),
        "lesions": video.lesions.entries(),
        "short_lesions": video.lesions.short(),
        "free_lesion": video.lesions.free_id(),
        "spreads": video.propagations.unanswered(),
        "last_act": video.stretches.last(),
        "final": video.info.is_final,
        "warnings": video.warnings,
    }
