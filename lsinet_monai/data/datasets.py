"""Datasets over clips: samples to train on, and whole clips in pieces, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from lsinet_monai.data.frames import frames_to_tensor, read_frame, read_mask
from lsinet_monai.data.sampling import TrainingSample
from lsinet_monai.data.sun_seg import Clip
from lsinet_monai.errors import InputError, find_input_error

__all__ = ["ClipPieces", "TrainingDataset"]


class _SeededTransform(Protocol):
    """What :class:`TrainingDataset` needs of a transform; a MONAI ``Compose`` has it."""

    set_random_state: Callable[..., Any]

    def __call__(self, data: dict[str, Any]) -> Any: ...


class TrainingDataset(Dataset[Any]):
    """The samples that a :class:`~lsinet_monai.data.TrainingSampler` over the same clips draws, transformed.

    The transform gets a dictionary of paths: ``image``, ``adjacent`` and ``memory`` of the frames, ``label``,
    ``adjacent_label`` and ``memory_mask`` of their masks (None for a negative clip).

    Args:
        clips: the clips, with labels or negative.
        transform: such as :func:`~lsinet_monai.transforms.training_transforms`.

    Raises:
        InputError: on access, a file that cannot be read.
    """

    def __init__(self, clips: Sequence[Clip], transform: _SeededTransform) -> None:
        self.clips = list(clips)
        self.transform = transform

    def __len__(self) -> int:
        return sum(len(clip["image"]) for clip in self.clips)

    def __getitem__(self, sample: TrainingSample) -> Any:
        clip = self.clips[sample.clip]
        frames, masks = clip["image"], clip["label"]
        # The augmentation follows from the sample alone, whichever worker process prepares it.
        self.transform.set_random_state(seed=sample.seed)
        paths = {
            "image": frames[sample.current],
            "adjacent": frames[sample.adjacent],
            "memory": frames[sample.memory],
            "label": masks and masks[sample.current],
            "adjacent_label": masks and masks[sample.adjacent],
            "memory_mask": masks and masks[sample.memory],
        }
        try:
            return self.transform(paths)
        except RuntimeError as error:
            # MONAI's Compose wraps every error, and of a wrapped one only the text leaves a worker process.
            if found := find_input_error(error):
                raise found from None
            raise


class ClipPieces(Dataset[dict[str, Any]]):
    """Clips cut in pieces of consecutive frames, clip by clip and in order, for an inferer that remembers.

    An item has, for a piece of T frames:

    - ``image``: float32, (3, T, height, width), as :func:`~lsinet_monai.data.frames_to_tensor` makes it; with
      ``lookahead``, (3, T + 1, height, width) unless it is its clip's last piece: one frame more than the piece has;
    - ``label``: uint8, (1, T, H, W), 0 or 1, at the frames' own size; zeros for a negative clip; absent where the clip
      has no labels;
    - ``clip_id``; ``frame_index``, the index of the piece's first frame in its clip; ``is_last``, whether the piece
      ends its clip.

    Args:
        clips: the clips; all frames of one clip have one size.
        image_size: side, or height and width, of ``image`` in pixels.
        piece_frames: frames in a piece, at least 1; the last piece of a clip has what is left.
        lookahead: let a piece bring the first frame of the next one, as its last frame's adjacent frame.

    Raises:
        InputError: ``piece_frames`` is below 1; on access, a file that cannot be read.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        image_size: int | Sequence[int],
        piece_frames: int = 8,
        lookahead: bool = True,
    ) -> None:
        if piece_frames < 1:
            raise InputError(f"piece_frames {piece_frames} must be 1 or more")
        self.clips = list(clips)
        self.image_size = image_size
        self.piece_frames = piece_frames
        self.lookahead = lookahead
        self._pieces = [
            (clip, start) for clip in self.clips for start in range(0, len(clip["image"]), self.piece_frames)
        ]

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip, start = self._pieces[index]
        paths, masks = clip["image"], clip["label"]
        stop = min(start + self.piece_frames, len(paths))
        frames = [read_frame(path) for path in paths[start : stop + self.lookahead]]
        item: dict[str, Any] = {
            "image": frames_to_tensor(frames, self.image_size),
            "clip_id": clip["clip_id"],
            "frame_index": start,
            "is_last": stop == len(paths),
        }
        if masks is not None:
            label = np.stack([read_mask(path) for path in masks[start:stop]]).astype(np.uint8)
            item["label"] = torch.from_numpy(label)[None]
        elif clip.get("negative"):
            item["label"] = torch.zeros((1, stop - start, *frames[0].shape[:2]), dtype=torch.uint8)
        return item
