"""What all formats share: the description of a clip, and its frames' lesions as a mapping."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.frame_names import has_several_numbers, picture_stem, split_name

__all__ = [
    "GZIP_MARK",
    "LARGEST_FILE",
    "AddFrame",
    "Attributes",
    "ClipInfo",
    "ClipLabels",
    "Reading",
    "check_file",
    "frame_file",
    "list_frames",
    "log_reading",
    "paint",
]

logger = logging.getLogger(__name__)

LARGEST_FILE = 2**29
"""Readers accept files of up to this many bytes: 512 MiB."""
GZIP_MARK = b"\x1f\x8b"
"""The first bytes of a file that is packed with gzip."""

_MOST_RUNS = 6

Attributes = Mapping[int, Mapping[str, Any]]
"""Attributes of a frame's lesions: lesion id -> name -> value. ``score`` is a number in [0, 1] in files of ours."""

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
        count = Counter(map(picture_stem, self.files.values()))
        stems = {picture_stem(name): index for index, name in self.files.items()}
        return {stem: index for stem, index in stems.items() if count[stem] == 1}

    @cached_property
    def _index_of_folded_stem(self) -> dict[str, int]:
        count = Counter(picture_stem(name).casefold() for name in self.files.values())
        return {stem.casefold(): i for stem, i in self._index_of_stem.items() if count[stem.casefold()] == 1}

    def file(self, index: int) -> str:
        """Return the name of a frame's file, or :func:`frame_file` if it has none."""
        return self.files.get(index, frame_file(index))

    def index_of(self, file: str) -> int | None:
        """Find the frame that another tool's file name refers to. Folders and the suffix do not matter.

        If the clip's frames are files, the stems must be equal, or differ only in case, if that is clear.
        In a video, the name holds the frame's index, counted
        from 0, as :func:`~lsinet_monai.formats.frame_names.split_name` finds it.

        Returns:
            The frame's index, or None if the clip has no such frame.
        """
        if self.files:
            stem = picture_stem(file)
            return self._index_of_stem.get(stem, self._index_of_folded_stem.get(stem.casefold()))
        number = split_name(file, self.name).number
        return number if number is not None and number < self.frame_count else None

    def why_unknown(self, file: str) -> str:
        """Explain why :meth:`index_of` finds no frame for a file, and how to name it."""
        if self.files:
            return f"is not a frame of '{self.name}'; name it like the frame"
        if split_name(file, self.name).number is None and has_several_numbers(file):
            return "has several numbers that may be the frame; name it by the frame alone, such as 000012.png"
        return f"is not a frame of '{self.name}'; name it like the frame: by its number, 0 to {self.frame_count - 1}"

    def mismatch(self, size: Sequence[Any]) -> str:
        """Explain that a size, (height, width), is not that of this clip's frames."""
        found, wanted = ("x".join(map(str, reversed(pair))) for pair in (size, self.size))
        return f"is {found} (width x height), the frames of '{self.name}' are {wanted}; give the masks of this clip"


@dataclass
class Reading:
    """What a reader took from a file, and what it left out.

    Args:
        labels: the labels that were taken as polyps -> the number of their shapes; empty for a format without labels.
        left_out: the name of each thing that was left out -> how many there were.
        left_alone: the frames in which the file shows only things that were left out. The labels do not contain
            them, because they may show a polyp.
        notes: what a person should know, one line each.
        all_labels: all labels of the file -> the number of their shapes of this clip.
        ids: the ids of the lesions that the file tells apart over the frames. Other ids stand for shapes of which the
            file does not say whether they are the same lesion as in other frames.
    """

    labels: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    left_alone: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    all_labels: dict[str, int] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)

    def lines(self) -> list[str]:
        """Describe it in a few lines."""

        def listed(counts: Mapping[str, int]) -> str:
            return ", ".join(f"{name} ({count})" for name, count in counts.items())

        lines = [f"taken as polyps: {listed(self.labels)}"] if self.labels else []
        if self.left_out:
            lines.append(f"left out: {listed(self.left_out)}")
        if self.left_alone:
            lines.append(f"left alone, since the file shows only what was left out: {list_frames(self.left_alone)}")
        return lines + self.notes


class ClipLabels(Mapping[int, np.ndarray]):
    """The lesions that a file holds for a clip: frame index, ascending -> labels, int32, (H, W), 0 for background.

    Labels are decoded on access, so that an hour of video fits in memory.

    Args:
        shapes: frame index -> the frame's lesions as they are in the file. An empty list says that the frame shows no
            polyp; the file does not speak of frames that are missing.
        decode: turns these into labels.
        attributes: frame index -> the attributes of its lesions.
        reading: what the reader took, and what it left out.
    """

    def __init__(
        self,
        shapes: Mapping[int, Any],
        decode: Callable[[Any], np.ndarray],
        attributes: Mapping[int, Attributes] | None = None,
        reading: Reading | None = None,
    ) -> None:
        self._shapes = {index: shapes[index] for index in sorted(shapes)}
        self._decode = decode
        self._attributes = attributes or {}
        self.reading = Reading() if reading is None else reading

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


def log_reading(path: Path, reading: Reading) -> None:
    """Log what a reader took from a file; a warning if it left anything out."""
    if lines := reading.lines():
        logger.log(logging.WARNING if reading.left_out else logging.INFO, "%s: %s", path, "; ".join(lines))


def list_frames(frames: Iterable[int]) -> str:
    """List frames in a short text: ``frames 0 to 4, 9 and 3 more``."""
    runs: list[list[int]] = []
    for frame in sorted(frames):
        if runs and frame == runs[-1][-1] + 1:
            runs[-1][1:] = [frame]
        else:
            runs.append([frame])
    texts = [(" to " if run[-1] > run[0] + 1 else ", ").join(map(str, run)) for run in runs[:_MOST_RUNS]]
    rest = sum(run[-1] - run[0] + 1 for run in runs[_MOST_RUNS:])
    word = "frame" if len(runs) == 1 and len(runs[0]) == 1 else "frames"
    return f"{word} {', '.join(texts)}" + (f" and {rest} more" if rest else "")


def paint(size: tuple[int, int], masks: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """Paint lesions, ids and masks, bool, (H, W), into labels, int32, (H, W). The last of overlapping masks wins."""
    labels = np.zeros(size, np.int32)
    for lesion, mask in masks:
        labels[mask] = lesion
    return labels


def check_file(path: str | Path, suffixes: Sequence[str]) -> Path:
    """Check that a file exists and has a readable size and one of the suffixes, before anything reads it.

    Raises:
        InputError: if the file is missing, not a file, empty, too large, or has another suffix; if it is a ZIP archive,
            or is packed with gzip and no suffix says so.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(f"{path}: the file name must end with {' or '.join(suffixes)}")
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise InputError(f"{path}: has {size} bytes; a readable file has 1 to {LARGEST_FILE}")
    with path.open("rb") as file:
        mark = file.read(4)
    if mark == b"PK\x03\x04":
        raise InputError(f"{path}: is a ZIP archive; unpack it, and give the {' or '.join(suffixes)} in it")
    if mark.startswith(GZIP_MARK) and not any(suffix.endswith(".gz") for suffix in suffixes):
        raise InputError(f"{path}: is packed with gzip; unpack it, and give the {' or '.join(suffixes)} in it")
    return path
