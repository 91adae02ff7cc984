"""What every exchange format shares: what it must know of a clip, and the lesions of its frames as a mapping."""

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
"""Files to be read back may have up to this many bytes: 512 MiB."""

Attributes = Mapping[int, Mapping[str, Any]]
"""What is known of the lesions of a frame: lesion id -> name -> value; ``score`` is a number in [0, 1]."""

AddFrame = Callable[[int, np.ndarray, Attributes], None]
"""What a writer is told of a frame: its index; its labels, int32, (H, W), 0 for background; its lesions' attributes."""


def frame_file(index: int) -> str:
    """The name of a frame that has no file of its own, since it comes from a video: ``000042``."""
    return f"{index:06d}"


@dataclass(frozen=True)
class ClipInfo:
    """What a format says of a clip, or needs to know of it, beside its masks. Nothing else of a clip is ever written.

    Args:
        name: the clip's name.
        size: height and width of its frames in pixels.
        frame_count: the number of its frames: indices are below it.
        files: the frames' file names by index, where the frames are files.
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
        """The name of a frame's file; :func:`frame_file` where it has none."""
        return self.files.get(index, frame_file(index))

    def index_of(self, file: str) -> int | None:
        """Find the frame that a file name of another tool means; folders and the suffix do not matter.

        Where the clip's frames are files, it is the frame of that name. Else it is the last number in the name, as in
        ``frame_000042.PNG``.

        Returns:
            the frame's index, or None if the clip has no such frame.
        """
        stem = PurePosixPath(file.replace("\\", "/")).stem
        if self.files:
            return self._index_of_stem.get(stem)
        # Longer numbers than this are no frame's, and int() refuses really long ones.
        numbers = re.findall("[0-9]+", stem)
        index = int(numbers[-1]) if numbers and len(numbers[-1]) <= 12 else self.frame_count
        return index if index < self.frame_count else None

    def mismatch(self, size: Sequence[Any]) -> str:
        """Say that something of another size, (height, width), is not this clip's."""
        found, wanted = ("x".join(map(str, reversed(pair))) for pair in (size, self.size))
        return f"is {found} (width x height), the frames of '{self.name}' are {wanted}; give the masks of this clip"


class ClipLabels(Mapping[int, np.ndarray]):
    """The lesions of a clip's frames, as a file has them: frame index -> labels, int32, (H, W), 0 for background.

    Labels are made when a frame is asked for, so that an hour of video fits in memory. In order of frames.

    Args:
        shapes: what the file says of each frame.
        decode: makes labels of it.
        attributes: what the file says of the lesions of a frame.
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
        """A frame's mask: bool, (H, W), True for polyp."""
        return self[index] > 0

    def attributes(self, index: int) -> Attributes:
        """What the file says of a frame's lesions, beside where they are."""
        return self._attributes.get(index, {})


def paint(size: tuple[int, int], masks: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """Make labels, int32, (H, W), of lesions' ids and masks, bool, (H, W); where they overlap, the last one holds."""
    labels = np.zeros(size, np.int32)
    for lesion, mask in masks:
        labels[mask] = lesion
    return labels


def check_file(path: str | Path, suffixes: Sequence[str]) -> Path:
    """Make sure, before a file of somebody else's is read, that it is there and no larger than what is readable.

    Raises:
        InputError: it is missing, no file, empty, too large, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(f"{path}: is not named {' or '.join(f'*{suffix}' for suffix in suffixes)}")
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise InputError(f"{path}: has {size} bytes; a file that can be read has 1 to {LARGEST_FILE}")
    return path
