"""Active learning: which video a person should look at next, and which of its frames."""

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


def _uncertainty(video: StoredVideo) -> list[float | None]:
    return video.per_frame("uncertainty")


def _disagreement(video: StoredVideo) -> list[float | None]:
    return temporal_disagreement(video.per_frame("changes"))


STRATEGIES: dict[str, tuple[str, Callable[[StoredVideo], list[float | None]]]] = {
    "doubt": ("Videos, and their frames, by uncertainty and temporal disagreement together", StoredVideo.doubts),
    "uncertainty": ("Videos, and their frames, by the uncertainty of their maps", _uncertainty),
    "disagreement": ("Videos, and their frames, by how little their masks agree over time", _disagreement),
}


def next_frame(videos: Sequence[StoredVideo], strategy: str) -> dict[str, Any]:
    """Find the most doubtful frame of the most doubtful video.

    Frames that are corrected, and videos that are final, are out of the question. Where the model has seen no video, it
    is the first one's first frame.

    Returns:
        ``id``, ``frame``, and ``doubt``, in [0, 1] or None.

    Raises:
        InputError: there is no such strategy.
        NotFound: there is no video left to look at.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy!r} must be one of {', '.join(STRATEGIES)}")
    values_of = STRATEGIES[strategy][1]
    best: dict[str, Any] | None = None
    for video in videos:
        if video.is_final or video.error:
            continue
        corrected = video.corrections
        values = [None if i in corrected else value for i, value in enumerate(values_of(video))]
        doubt = video_doubt(values) if video.is_annotated else None
        known = [(value, -frame) for frame, value in enumerate(values) if value is not None]
        frame = -max(known)[1] if known and doubt is not None else 0
        if best is None or (-1 if doubt is None else doubt) > (-1 if best["doubt"] is None else best["doubt"]):
            best = {"id": video.id, "frame": frame, "doubt": doubt}
    if best is None:
        raise NotFound("there is no video left to look at: all are final, or there are none")
    return best


class DoubtStrategy(Strategy):
    """A strategy of MONAI Label's.

    Args:
        name: one of :data:`STRATEGIES`.
        videos: what is stored.
    """

    def __init__(self, name: str, videos: VideoStore) -> None:
        super().__init__(STRATEGIES[name][0])
        self.name = name
        self.videos = videos

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        return next_frame([self.videos[image_id] for image_id in sorted(datastore.list_images())], self.name)
