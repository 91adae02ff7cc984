"""What all formats share: the description of a clip, and its frames' lesions as a mapping."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lsinet_monai.errors import InputError

__all__ = ["LARGEST_FILE", "AddFrame", "Attributes", "ClipInfo", "ClipLabels", "check_file", "frame_file", "paint"]

LARGEST_FILE = 2**29
"""Readers accept files of up to this many bytes: 512 MiB."""

Attributes = Mapping[int, Mapping[str, Any]]
"""Attributes of a frame's lesions: lesion id -> name -> value. ``score`` is a number in [0, 1]."""

AddFrame = Callable[[int, np.ndarray, Attributes], None]
"""Adds a frame to a file: its index; its labels, int32, (H, W), 0 for background; its lesions' attributes."""


def frame_file(index: int) -> str:
    """Name a frame of a video, which has no file of its own: ``000042``."""
    return f"{index:06d}"


@dataclass(frozen=True)
class ClipInfo:
    """Describe a clip: what a file says about it in addition to masks, and what a reader needs to know of it.

    Args:
        name: the clip's name.
        size: height and width of its frames in pixels.
        frame_count: the number of its frames; frame indices are below it.
        files: the frames' file names by index; empty for a video.
        seconds: the frames' times by index, as far as they are known.
        fps: frames per second, if known.
    """

    name: str
    size: tuple[int, int]
    frame_count: int
    files: Mapping[int, str] = field(default_factory=dict)
    seconds: Mapping[int, float] = field(default_factory=dict)
    fps: float | None = None

    @cached_property
    def _index_of_stem(self) -> dict[str, int]:
        return {PurePosixPath(name).stem: index for index, name in self.files.items()}

    def file(self, index: int) -> str:
        """Return the name of a frame's file, or :func:`frame_file` if it has none."""
        return self.files.get(index, frame_file(index))

    def index_of(self, file: str) -> int | None:
        """Find the frame that another tool's file name refers to. Folders and the suffix do not matter.

        If the clip's frames are files, the stems must be equal. In a video, the last number of the name is the frame's
        index, as in ``frame_000042.PNG``.

        Returns:
            The frame's index, or None if the clip has no such frame.
        """
        stem = PurePosixPath(file.replace("\\", "/")).stem
        if self.files:
            return self._index_of_stem.get(stem)
        # int() refuses very long numbers, and no clip has that many frames.
        numbers = re.findall("[0-9]+", stem)
        index = int(numbers[-1]) if numbers and len(numbers[-1]) <= 12 else self.frame_count
        return index if index < self.frame_count else None

    def mismatch(self, size: Sequence[Any]) -> str:
        """Explain that a size, (height, width), is not that of this clip's frames."""
        found, wanted = ("x".join(map(str, reversed(pair))) for pair in (size, self.size))
        return f"is {found} (width x height), the frames of '{self.name}' are {wanted}; give the masks of this clip"


class ClipLabels(Mapping[int, np.ndarray]):
    """The lesions that a file holds for a clip: frame index, ascending -> labels, int32, (H, W), 0 for background.

    Labels are decoded on access, so that an hour of video fits in memory.

    Args:
        shapes: frame index -> the frame's lesions as they are in the file.
        decode: turns these into labels.
        attributes: frame index -> the attributes of its lesions.
    """

    def __init__(
        self,
        shapes: Mapping[int, Any],
        decode: Callable[[Any], np.ndarray],
        attributes: Mapping[int, Attributes] | None = None,
    ) -> None:
        self._shapes = {index: shapes[index] for index in sorted(shapes)}
        self._decode = decode
        self._attributes = attributes or {}

    def __getitem__(self, index: int) -> np.ndarray:
        return self._decode(self._shapes[index])

    def __iter__(self) -> Iterator[int]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def mask(self, index: int) -> np.ndarray:
        """Return a frame's mask: bool, (H, W), True for polyp."""
        return self[index] > 0

    def attributes(self, index: int) -> Attributes:
        """Return the attributes of a frame's lesions."""
        return self._attributes.get(index, {})


def paint(size: tuple[int, int], masks: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """Paint lesions, ids and masks, bool, (H, W), into labels, int32, (H, W). The last of overlapping masks wins."""
    labels = np.zeros(size, np.int32)
    for lesion, mask in masks:
        labels[mask] = lesion
    return labels


def check_file(path: str | Path, suffixes: Sequence[str]) -> Path:
    """Check that a file exists and has a readable size and one of the suffixes, before anything reads it.

    Raises:
        InputError: if the file is missing, not a file, empty, too large, or has another suffix.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(f"{path}: the file name must end with {' or '.join(suffixes)}")
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise InputError(f"{path}: has {size} bytes; a readable file has 1 to {LARGEST_FILE}")
    return path
