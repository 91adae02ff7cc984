"""Videos and clips of any length, in pieces, one after the other: read ahead, and never held whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from lsinet_monai.data.field_of_view import FieldOfView, find_field_of_view
from lsinet_monai.data.frames import frames_to_tensor, read_frame, resize_frame
from lsinet_monai.data.sun_seg import Clip
from lsinet_monai.data.video import Video, open_video
from lsinet_monai.data.video.prefetch import Prefetch
from lsinet_monai.errors import InputError

__all__ = ["VideoPieces"]

_FIELD_FRAMES = 25  # spread over a video, they show its field of view; reading each costs a jump

_Frame = tuple[int, float | None, np.ndarray]  # index, seconds, RGB

logger = logging.getLogger(__name__)


class VideoPieces(IterableDataset[dict[str, Any]]):
    """Videos and clips cut in pieces of consecutive frames, in order, for an inferer that remembers.

    For a ``DataLoader`` with ``batch_size=None`` and ``num_workers=0``: reading and resizing go on in threads of their
    own, one piece ahead. An item is a batch of one piece of T frames:

    - ``image``: float32, (1, 3, T, height, width), as :func:`~lsinet_monai.data.frames_to_tensor` makes it; with
      ``lookahead``, (1, 3, T + 1, height, width) unless it is its clip's last piece: one frame more than the piece has;
    - ``frame``: T frames as they are, uint8, (H, W, 3), RGB;
    - ``clip_id``; ``frame_index``, how many frames of the clip come before the piece; ``is_last``, whether it ends its
      clip;
    - ``index``: the T frames' indices; those of damaged frames of a video are left out;
    - ``seconds``: the T frames' times, each None in a folder of frames, whose pace is not known;
    - ``frame_count``: the number of the clip's indices;
    - ``field``: the :class:`~lsinet_monai.data.FieldOfView` outside of which nothing is labelled, or None. It is found
      before a video's first piece; frames of a folder are taken as they are, unless they are to be cropped;
    - ``is_cropped``: whether ``image`` is cut to that;
    - ``fps``: a video's frames per second, else None;
    - ``reading``: of a video, ``frames_expected``, the number that the file announces or None, and ``ends_early``,
      whether the file ends before it; else None.

    A video that cannot be read is passed over, with a line in the log, and kept in ``failed``; what is damaged within
    a video is left out. A frame of a folder that cannot be read is an error.

    Args:
        clips: as :func:`~lsinet_monai.data.find_inputs` lists them; all frames of one clip have one size. A clip with
            ``start`` begins later: a number of frames that are done, and the index of the next one.
        image_size: side, or height and width, of ``image`` in pixels.
        piece_frames: frames in a piece, at least 1; the last piece of a clip has what is left.
        lookahead: let a piece bring the first frame of the next one, as its last frame's adjacent frame.
        crop_field: cut ``image`` to the field of view, which is then found in folders of frames too.

    Attributes:
        failed: why videos could not be read, by ``clip_id``.

    Raises:
        InputError: ``piece_frames`` is below 1; on iteration, a frame of a folder that cannot be read.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        image_size: int | Sequence[int],
        piece_frames: int = 8,
        lookahead: bool = True,
        crop_field: bool = False,
    ) -> None:
        if piece_frames < 1:
            raise InputError(f"piece_frames {piece_frames} must be 1 or more")
        self.clips = list(clips)
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size = (height, width)
        self.piece_frames = piece_frames
        self.lookahead = lookahead
        self.crop_field = crop_field
        self.failed: dict[str, str] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.failed.clear()
        with closing(Prefetch(self._all_pieces(), limit=1)) as ahead:
            yield from ahead

    def _all_pieces(self) -> Generator[dict[str, Any], None, None]:
        for clip in self.clips:
            if "image" in clip:
                yield from self._clip_pieces(clip)
                continue
            try:
                with open_video(clip["video"]) as video:
                    yield from self._video_pieces(clip, video)
            except InputError as error:
                logger.warning("passed over: %s", error)
                self.failed[clip["clip_id"]] = str(error)

    def _clip_pieces(self, clip: Clip) -> Iterator[dict[str, Any]]:
        paths = clip["image"]
        start = clip.get("start", (0, 0))[1]
        frames = ((index, None, read_frame(paths[index])) for index in range(start, len(paths)))
        field = _find_field(len(paths), lambda index: read_frame(paths[index])) if self.crop_field else None
        about = {"frame_count": len(paths), "field": field, "fps": None, "reading": None}
        yield from self._cut(clip, frames, about)

    def _video_pieces(self, clip: Clip, video: Video) -> Iterator[dict[str, Any]]:
        report = video.report
        about = {
            "frame_count": len(video),
            "field": _find_field(len(video), video.frame),
            "fps": video.fps,
            "reading": {"frames_expected": report.expected, "ends_early": report.ends_early},
        }
        any_pieces = False
        for piece in self._cut(clip, video.frames(clip.get("start", (0, 0))[1]), about):
            any_pieces = True
            yield piece
        if not any_pieces:
            raise InputError(f"{video.path}: no frame can be decoded; replace it")

    def _cut(self, clip: Clip, frames: Iterable[_Frame], about: dict[str, Any]) -> Iterator[dict[str, Any]]:
        field: FieldOfView | None = about["field"] if self.crop_field else None

        def resize(frame: np.ndarray) -> np.ndarray:
            return resize_frame(field.crop(frame) if field else frame, self.image_size)

        resized = ((*frame, resize(frame[2])) for frame in frames)
        done = clip.get("start", (0, 0))[0]
        following = next(resized, None)
        while following is not None:
            piece = [following, *islice(resized, self.piece_frames - 1)]
            following = next(resized, None)
            ahead = [following] if following and self.lookahead else []
            yield about | {
                "is_cropped": field is not None,
                "image": frames_to_tensor([small for *_, small in piece + ahead], self.image_size)[None],
                "frame": [frame for _, _, frame, _ in piece],
                "clip_id": clip["clip_id"],
                "frame_index": done,
                "is_last": following is None,
                "index": [index for index, *_ in piece],
                "seconds": [seconds for _, seconds, *_ in piece],
            }
            done += len(piece)


def _find_field(count: int, read: Callable[[int], np.ndarray]) -> FieldOfView | None:
    """Find a video's field of view in a few frames; None if all of them are damaged."""

    def sample() -> Iterator[np.ndarray]:
        for index in sorted({int(place) for place in np.linspace(0, count - 1, _FIELD_FRAMES)}):
            try:
                yield read(index)
            except InputError:
                continue

    try:
        return find_field_of_view(sample())
    except InputError:
        return None
