"""Frames in folders: how they are found, named and sorted."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.errors import InputError

__all__ = ["FRAME_FOLDER", "clip_id_of", "frames_in", "natural_key", "subfolders", "walk"]

FRAME_FOLDER = "Frame"
"""In SUN-SEG's layout this folder holds the frames, and the folders next to it do not."""

logger = logging.getLogger(__name__)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that compares numbers within names as numbers: ``image10`` comes after ``image9``.

    SUN-SEG's frames, ``..._a<part>_ayy_image<number>``, are so sorted by part, and by number within a part.

    Args:
        name: the name of a file or folder.

    Returns:
        a key for ``sorted``; names that differ only in leading zeros have different keys.
    """
    pieces = re.split("([0-9]+)", name)
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); give a folder that can be read") from error


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder in natural order, without hidden ones.

    Raises:
        InputError: the folder cannot be listed.
    """
    return sorted((entry for entry in _visible(folder) if entry.is_dir()), key=lambda entry: natural_key(entry.name))


def frames_in(folder: Path) -> list[Path]:
    """List the frames in a folder in natural order, without hidden files.

    Raises:
        InputError: the folder cannot be listed.
    """
    frames = [entry for entry in _visible(folder) if entry.suffix.lower() in FRAME_SUFFIXES and entry.is_file()]
    return sorted(frames, key=lambda frame: (natural_key(frame.stem), frame.suffix))


def clip_id_of(root: Path, path: Path) -> str:
    """Name a clip at or below ``root``: its path below it, without ``Frame``; the name of ``root`` if that is empty."""
    parts = [part for part in path.relative_to(root).parts if part != FRAME_FOLDER]
    return "/".join(parts) or next(
        (part for part in reversed(root.resolve().parts) if part != FRAME_FOLDER), FRAME_FOLDER
    )


def walk(
    folder: Path, is_video: Callable[[Path], bool] = lambda path: False, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, list[Path]]]:
    """Find the folders of frames, and the videos, at or below a folder, in natural order.

    In a folder with a folder ``Frame``, only this one is searched. A folder without content is skipped with a warning.

    Args:
        folder: where to begin.
        is_video: tells whether a file is a video.
        above: the folders that the search passed through.

    Yields:
        each folder that holds frames, with these in natural order; and each video, with an empty list.

    Raises:
        InputError: a folder cannot be listed.
    """
    here = folder.resolve()
    if here in above:  # a link to a folder above would be followed for ever
        return
    inner = folder / FRAME_FOLDER
    if inner.is_dir():
        yield from walk(inner, is_video, (*above, here))
        return
    frames = frames_in(folder)
    others = [entry for entry in _visible(folder) if entry.is_dir() or is_video(entry)]
    if frames:
        yield folder, frames
    elif not others:
        logger.warning("%s holds no frames and is skipped", folder)
    for entry in sorted(others, key=lambda entry: natural_key(entry.name)):
        if entry.is_dir():
            yield from walk(entry, is_video, (*above, here))
        else:
            yield entry, []
