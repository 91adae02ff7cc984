"""Active learning: the video and the frame that a person should look at next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from lib.errors import NotFound
from lib.store import StoredVideo, VideoStore
from lsinet_monai.errors import InputError
from lsinet_monai.masks import temporal_disagreement, video_doubt

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
    """Find the most doubtful frame of the most doubtful video.

    Corrected frames, final videos and damaged videos are left out. If no video is annotated yet, the result is the
    first frame of the first video.

    Args:
        videos: to choose from.
        strategy: one of :data:`STRATEGIES`.

    Returns:
        ``id``, ``frame``, and ``doubt``, in [0, 1] or None.

    Raises:
        InputError: there is no such strategy.
        NotFound: all videos are final or damaged, or there are none.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy!r} must be one of {', '.join(STRATEGIES)}")
    values_of = STRATEGIES[strategy][1]
    best: dict[str, Any] | None = None
    for video in videos:
        if video.info.is_final or video.info.error:
            continue
        corrected = video.corrections
        values = [None if i in corrected else value for i, value in enumerate(values_of(video))]
        doubt = video_doubt(values) if video.info.is_annotated else None
        known = [(value, -frame) for frame, value in enumerate(values) if value is not None]
        frame = -max(known)[1] if known and doubt is not None else 0
        if best is None or (-1 if doubt is None else doubt) > (-1 if best["doubt"] is None else best["doubt"]):
            best = {"id": video.id, "frame": frame, "doubt": doubt}
    if best is None:
        raise NotFound("there is no video left to look at: all are final or damaged, or the folder is empty")
    return best


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
