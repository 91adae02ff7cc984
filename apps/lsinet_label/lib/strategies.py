"""Active learning: the video and the frame that a person should look at next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from lib.errors import NotFound
from lib.store import StoredVideo, VideoStore
from lsinet_monai.errors import InputError
from lsinet_monai.masks import doubtful_places, temporal_disagreement

__all__ = ["STRATEGIES", "DoubtStrategy", "next_frame"]


def _doubt(video: StoredVideo) -> list[float | None]:
    return video.values.doubts()


def _uncertainty(video: StoredVideo) -> list[float | None]:
    return video.values.per_frame("uncertainty")


def _disagreement(video: StoredVideo) -> list[float | None]:
    return temporal_disagreement(video.values.per_frame("changes"))


STRATEGIES: dict[str, tuple[str, Callable[[StoredVideo], list[float | None]]]] = {
    "doubt": ("Videos and their frames by how likely their masks are wrong", _doubt),
    "uncertainty": ("Videos and their frames by the uncertainty of their probability maps", _uncertainty),
    "disagreement": ("Videos and their frames by how much their masks change over time", _disagreement),
}
"""By name: a description, and the function that ranks the frames of a video."""


def next_frame(videos: Sequence[StoredVideo], strategy: str) -> dict[str, Any]:
    """Find the most doubtful place of all videos, and its middle frame.

    Final and damaged videos are left out, and so are corrected and checked frames with what lies within half a second
    of them: who saved them has seen it. Blurred and white frames are in the middle of no place. If there is no such
    place, the result is the first frame of a video that is not annotated yet; if all are, the most doubtful frame that
    nobody saved.

    Args:
        videos: to choose from.
        strategy: one of :data:`STRATEGIES`.

    Returns:
        ``id``, ``frame``, and ``doubt``: the mean of the place's frames, or that of a single frame, in [0, 1]; or None.

    Raises:
        InputError: there is no such strategy.
        NotFound: all videos are final or damaged, or there are none.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy!r} must be one of {', '.join(STRATEGIES)}")
    found = [
        _look_for(video, STRATEGIES[strategy][1])
        for video in videos
        if not video.info.is_final and not video.info.error
    ]
    if not found:
        raise NotFound("there is no video left to look at: all are final or damaged, or the folder is empty")
    best = max(found, key=lambda one: (one.urgency, one.doubt or 0))
    return {"id": best.video, "frame": best.frame, "doubt": best.doubt}


class _Look(NamedTuple):
    """A frame to look at."""

    urgency: int
    """2 for a place that nobody has seen, 1 for a video without masks, 0 for the rest."""
    doubt: float | None
    video: str
    frame: int


def _look_for(video: StoredVideo, values_of: Callable[[StoredVideo], list[float | None]]) -> _Look:
    """Choose a frame of a video."""
    if not video.info.is_annotated:
        return _Look(1, None, video.id, 0)
    corrected, fps = video.corrections, video.info.get("fps") or 25
    values = [None if frame in corrected else value for frame, value in enumerate(values_of(video))]
    place = next(doubtful_places(values, fps, video.values.unclear(), corrected), None)
    if place is not None:
        return _Look(2, place[1], video.id, place[0])
    known = [(value, -frame) for frame, value in enumerate(values) if value is not None]
    doubt, at = max(known, default=(None, 0))
    return _Look(0, doubt, video.id, -at)


class DoubtStrategy(Strategy):
    """A strategy for MONAI Label's clients.

    Args:
        name: one of :data:`STRATEGIES`.
        videos: the stored videos.
    """

    def __init__(self, name: str, videos: VideoStore) -> None:
        super().__init__(STRATEGIES[name][0])
        self.name = name
        self.videos = videos

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Choose among the datastore's videos, see :func:`next_frame`.

        Raises:
            NotFound: all videos are final or damaged, or there are none.
        """
        return next_frame([self.videos[image_id] for image_id in sorted(datastore.list_images())], self.name)
