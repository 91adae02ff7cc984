"""Frames in folders: how they are found, named and sorted."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lsinet_monai.data.frame_order import natural_key, order_of
from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import check_link

__all__ = [
    "FRAME_FOLDER",
    "MASK_NAME",
    "clip_id_of",
    "composed",
    "few",
    "find_folder",
    "frames_in",
    "is_picture",
    "natural_key",
    "say_how_read",
    "subfolders",
    "walk",
]

FRAME_FOLDER = "Frame"
"""In SUN-SEG's layout this folder holds the frames, and the folders next to it do not."""

_OTHER_PICTURES = (
    ".heic", ".heif", ".avif", ".jxl", ".jpe", ".j2k", ".jpf", ".jpx", ".pnm", ".pbm", ".tga", ".pcx", ".psd", ".exr",
    ".hdr", ".dng", ".cr2", ".nef", ".arw",
)  # fmt: skip
_MARKS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF")  # JPEG, PNG, TIFF, WebP
_NAMED = 5

logger = logging.getLogger(__name__)


MASK_NAME = re.compile(r"(.+?)[ _.-]+(?:mask|gt|groundtruth|label|seg|segmentation)s?", re.IGNORECASE)
"""The name of a mask, without suffix; the first group is the name of its frame."""


def _visible(folder: Path) -> list[Path]:
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); give a folder that can be read") from error
    for entry in entries:
        # A frame that is left out would change its neighbours. Folders have no suffix.
        if entry.suffix.lower() in ("", *FRAME_SUFFIXES):
            check_link(entry)
    return entries


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder in natural order, without hidden ones.

    Raises:
        InputError: the folder cannot be listed.
    """
    return sorted((entry for entry in _visible(folder) if entry.is_dir()), key=lambda entry: natural_key(entry.name))


def frames_in(folder: Path) -> list[Path]:
    """List the frames in a folder as :func:`~lsinet_monai.data.frame_order.order_of` orders them, without hidden files.

    Raises:
        InputError: the folder cannot be listed.
    """
    frames = [entry for entry in _visible(folder) if entry.suffix.lower() in FRAME_SUFFIXES and entry.is_file()]
    key = order_of([frame.stem for frame in frames]).key
    return sorted(frames, key=lambda frame: (key(frame.stem), frame.suffix))


def composed(name: str) -> str:
    """Write letters with their marks as one character each (Unicode's NFC), to compare names.

    macOS, and archives from it, write "ä" as "a" and a mark (NFD), most other programs as one character.
    """
    return unicodedata.normalize("NFC", name)


def find_folder(parent: Path, name: str) -> Path:
    """Find the folder of a name; one that is the same but for :func:`composed`, if there is none.

    Args:
        parent: where to begin.
        name: the path of the folder below ``parent``, such as ``clinic/case1``.

    Returns:
        the folder, ``parent / name`` if there is none.

    Raises:
        InputError: a folder on the way cannot be listed.
    """
    folder = parent
    for part in Path(name).parts:
        inner = folder / part
        if not inner.exists() and folder.is_dir():
            same = (entry for entry in subfolders(folder) if composed(entry.name) == composed(part))
            inner = next(same, inner)
        folder = inner
    return folder if folder.exists() else parent / name


def check_no_masks(frames: Sequence[Path]) -> None:
    """Check that no mask lies among frames.

    Args:
        frames: the frames of a folder.

    Raises:
        InputError: one of them is named like the mask of another.
    """
    names = {frame: composed(frame.stem) for frame in frames}
    stems = set(names.values())
    masks = [frame for frame, name in names.items() if (found := MASK_NAME.fullmatch(name)) and found[1] in stems]
    if masks:
        count = "1 such file" if len(masks) == 1 else f"{len(masks)} such files"
        raise InputError(
            f"{masks[0]}: looks like the mask of a frame next to it ({count}): move the masks to a folder of their own"
        )


def say_how_read(folder: Path, frames: Sequence[Path], is_read: Callable[[Path], bool] = lambda path: False) -> None:
    """Log what a person may not expect of a clip: an order that is not that of plain numbers, or files left out.

    Args:
        folder: the folder.
        frames: its frames, in order.
        is_read: tells whether another file in the folder is read too.
    """
    kind = order_of([frame.stem for frame in frames]).kind
    names = few([frame.name for frame in frames])
    if kind == "unknown":
        logger.warning("%s: the names do not tell the frames' order for certain; it is taken as %s", folder, names)
    elif kind != "numbers":
        meaning = "are decimals" if kind == "decimals" else "are next to a hash"
        logger.info("%s: the numbers in the names %s, so the order is %s", folder, meaning, names)
    known = set(frames)
    left_out = sorted(
        entry.name for entry in _visible(folder) if entry not in known and is_picture(entry) and not is_read(entry)
    )
    if left_out:
        logger.warning(
            "%s: %d pictures are left out, because only %s are read: %s; convert them to PNG",
            folder, len(left_out), " ".join(FRAME_SUFFIXES), few(left_out),
        )  # fmt: skip


def few(names: Sequence[str]) -> str:
    """Join names for a message: all of them if they are few, else the first ones and the last."""
    return ", ".join(names) if len(names) <= _NAMED else f"{', '.join(names[: _NAMED - 1])}, ..., {names[-1]}"


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its first bytes, or has the suffix of a kind of picture that is not read."""
    if path.suffix.lower() in _OTHER_PICTURES:
        return path.is_file()
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_MARKS) and (head[:4] != b"RIFF" or head[8:] == b"WEBP")


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
