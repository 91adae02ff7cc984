"""Clips cut into pieces of consecutive frames, in order: how validation, evaluation and inference read a clip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from monai.utils import ensure_tuple_rep
from torch.utils.data import IterableDataset

from lsinet_monai.data.clips import Clip
from lsinet_monai.data.field_of_view import FieldOfView, find_field_of_view
from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.data.frames import read_frame, resize_frame
from lsinet_monai.data.mask_files import read_mask
from lsinet_monai.data.video import Video, open_video
from lsinet_monai.data.video.prefetch import Prefetch
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, check_numbers

__all__ = ["ClipPieces"]

_FIELD_FRAMES = 25  # frames, spread over a video, in which its field of view is searched; each of them costs a seek

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Frame:
    index: int
    seconds: float | None
    pixels: np.ndarray  # as read
    image: np.ndarray  # cropped and resized, as far as this happens on the CPU
    mask: np.ndarray | None = None


class ClipPieces(IterableDataset[dict[str, Any]]):
    """Cut clips into pieces of consecutive frames, clip by clip and in order, for an inferer that keeps a memory.

    Each item is a batch of one piece. An engine takes this dataset in place of a data loader: a thread reads one piece
    ahead, and no clip is ever held whole. For a piece of T frames, a batch has what the network, the inferer and the
    metrics need, for each clip in the batch (B = 1):

    - ``image``: float32, (1, 3, T, height, width), normalised by :func:`~lsinet_monai.data.frames_to_tensor`. With
      ``lookahead`` it has T + 1 frames unless the piece ends its clip;
    - ``label``: uint8, (1, 1, T, H, W), 0 or 1, at the frames' own size; zeros for a negative clip; absent for a clip
      without labels;
    - ``clip_id``: a list of names;
    - ``frame_index``: a list of numbers: how many frames of the clip come before the piece;
    - ``is_last``: a list of flags: whether the piece ends its clip.

    For handlers that write results, it also has:

    - ``frame``: the T frames as read, uint8, (H, W, 3), RGB;
    - ``index``: the T frames' indices in the clip; a video's damaged frames are left out;
    - ``seconds``: the T frames' times; None in a folder of frames, whose frame rate is unknown;
    - ``frame_count``: the number of frames in the clip, damaged ones included;
    - ``field``: the :class:`~lsinet_monai.data.FieldOfView` outside of which nothing is labelled, or None. It is
      searched for in videos, and with ``crop_field`` in folders of frames too;
    - ``is_cropped``: whether ``image`` is cropped to that field;
    - ``fps``: a video's frames per second; None for a folder;
    - ``reading``: for a video a dictionary of ``frames_expected``, the number that the file announces or None, and
      ``ends_early``, whether the file ends before it; None for a folder.

    A video that cannot be read is skipped, logged, and kept in ``failed``. A frame or mask of a folder that cannot be
    read is an error.

    Args:
        clips: all frames of one clip have the same size. ``clip.resume`` says at which frame to begin.
        image_size: side, or height and width, of ``image`` in pixels.
        piece_frames: frames per piece, at least 1; the last piece of a clip may be shorter.
        lookahead: add the first frame of the next piece to ``image``, as the adjacent frame of the last one.
        crop_field: crop ``image`` to the field of view; also the text of a switch, from the command line.
        num_workers: threads that read the frames of folders in parallel; 0 reads them one by one.
        device: where ``image`` is made, see :func:`~lsinet_monai.data.frames_to_tensor`; the rest stays on the CPU.
        decode_device: where video streams are decoded, see :func:`~lsinet_monai.data.open_video`.

    Attributes:
        failed: why videos could not be read, by ``clip_id``.

    Raises:
        InputError: ``piece_frames`` or ``num_workers`` is not a valid number; on iteration, a frame of a folder cannot
            be read.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        image_size: int | Sequence[int],
        piece_frames: int = 8,
        lookahead: bool = True,
        crop_field: bool = False,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        decode_device: torch.device | str = "cpu",
    ) -> None:
        check_numbers(piece_frames=piece_frames, num_workers=num_workers)
        self.clips = list(clips)
        self.image_size: tuple[int, int] = ensure_tuple_rep(image_size, 2)
        self.piece_frames = piece_frames
        self.lookahead = lookahead
        self.crop_field = as_bool(crop_field, "crop_field")
        self.num_workers = num_workers
        self.device = torch.device(device)
        self.decode_device = decode_device
        self.failed: dict[str, str] = {}

    def __len__(self) -> int:
        # A video's length is known only when it is read. Without clips, MONAI would warn about a length of 0.
        if not self.clips or any(clip.video is not None for clip in self.clips):
            raise TypeError("the number of pieces is not known")
        lengths = (len(clip.image) - clip.resume.next_index for clip in self.clips)
        return sum(-(-length // self.piece_frames) for length in lengths)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.failed.clear()
        with closing(Prefetch(self._all_pieces(), limit=1)) as ahead:
            yield from ahead

    def _all_pieces(self) -> Generator[dict[str, Any], None, None]:
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(self.num_workers)) if self.num_workers else None
            for clip in self.clips:
                if clip.video is None:
                    yield from self._folder_pieces(clip, pool)
                    continue
                try:
                    with open_video(clip.video, decode_device=self.decode_device) as video:
                        yield from self._video_pieces(clip, video)
                except InputError as error:
                    logger.warning("skipped: %s", error)
                    self.failed[clip.clip_id] = str(error)

    def _folder_pieces(self, clip: Clip, pool: ThreadPoolExecutor | None) -> Iterator[dict[str, Any]]:
        paths = clip.image
        field = _find_field(len(paths), lambda index: read_frame(paths[index])) if self.crop_field else None

        def read(index: int) -> _Frame:
            pixels = read_frame(paths[index])
            mask = None
            if clip.label is not None:
                mask = read_mask(clip.label[index], clip.mask_rule)
            elif clip.negative:
                mask = np.zeros(pixels.shape[:2], bool)
            return _Frame(index, None, pixels, self._prepare(pixels, field), mask)

        about = {"frame_count": len(paths), "field": field, "fps": None, "reading": None}
        indices = range(clip.resume.next_index, len(paths))
        frames = map(read, indices) if pool is None else _map_ahead(pool, read, indices, self.piece_frames)
        yield from self._cut(clip, frames, about)

    def _video_pieces(self, clip: Clip, video: Video) -> Iterator[dict[str, Any]]:
        field = _find_field(len(video), video.frame)
        report = video.report
        about = {
            "frame_count": len(video),
            "field": field,
            "fps": video.fps,
            "reading": {"frames_expected": report.expected, "ends_early": report.ends_early},
        }
        frames = (
            _Frame(index, seconds, pixels, self._prepare(pixels, field))
            for index, seconds, pixels in video.frames(clip.resume.next_index)
        )
        any_pieces = False
        for piece in self._cut(clip, frames, about):
            any_pieces = True
            yield piece
        if not any_pieces:
            raise InputError(f"{video.path}: no frame can be decoded; replace it")

    def _prepare(self, pixels: np.ndarray, field: FieldOfView | None) -> np.ndarray:
        pixels = field.crop(pixels) if field and self.crop_field else pixels
        return pixels if self.device.type == "cuda" else resize_frame(pixels, self.image_size)

    def _cut(self, clip: Clip, frames: Iterator[_Frame], about: dict[str, Any]) -> Iterator[dict[str, Any]]:
        done = clip.resume.frames_done
        following = next(frames, None)
        while following is not None:
            piece = [following, *islice(frames, self.piece_frames - 1)]
            following = next(frames, None)
            ahead = [following] if following and self.lookahead else []
            batch = {
                "image": frames_to_tensor([frame.image for frame in piece + ahead], self.image_size, self.device)[None],
                "clip_id": [clip.clip_id],
                "frame_index": [done],
                "is_last": [following is None],
                "frame": [frame.pixels for frame in piece],
                "index": [frame.index for frame in piece],
                "seconds": [frame.seconds for frame in piece],
                "is_cropped": self.crop_field and about["field"] is not None,
                **about,
            }
            masks = [frame.mask for frame in piece if frame.mask is not None]
            if masks:
                batch["label"] = torch.from_numpy(np.stack(masks).astype(np.uint8))[None, None]
            yield batch
            done += len(piece)


def _map_ahead(
    pool: ThreadPoolExecutor, read: Callable[[int], _Frame], indices: Sequence[int], count: int
) -> Iterator[_Frame]:
    """Read frames in parallel, ``count`` of them at a time, and give them in order."""
    for start in range(0, len(indices), count):
        yield from pool.map(read, indices[start : start + count])


def _find_field(count: int, read: Callable[[int], np.ndarray]) -> FieldOfView | None:
    """Find a clip's field of view in a few of its frames; None if all of these are damaged."""

    def sample() -> Iterable[np.ndarray]:
        for index in sorted({int(place) for place in np.linspace(0, count - 1, _FIELD_FRAMES)}):
            try:
                yield read(index)
            except InputError:
                continue

    try:
        return find_field_of_view(sample())
    except InputError:
        return None
