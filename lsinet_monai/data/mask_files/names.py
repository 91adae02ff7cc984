"""Which mask belongs to a frame, by their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from lsinet_monai.data.folders import MASK_NAME, composed, frames_in
from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.errors import InputError

__all__ = ["frame_names", "match_masks"]

_MARK_BEFORE = re.compile(r"(?:mask|gt|groundtruth|label|seg|segmentation)s?[ _.-]+(.+)", re.IGNORECASE)


def match_masks(frames: Sequence[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """Find the masks of a clip's frames: for ``x.jpg``, one of ``x.png``, ``X.png``, ``x_mask.png``, ``mask_x.png``.

    Args:
        frames: the frames.
        folder: the folder of the masks; it need not exist.

    Returns:
        for each frame its mask, ``x.png`` if there is none; and the masks without a frame. If there is a frame
            ``x_mask.jpg``, the mask ``x_mask.png`` is that frame's and not the one of ``x.jpg``.

    Raises:
        InputError: two masks have the name of one frame.
    """
    masks = frames_in(folder) if folder.is_dir() else []
    stems = {frame.stem for frame in frames}
    folded = {_fold(stem): stem for stem in stems}
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        names = [mask.stem, _without_suffix(mask.stem), _frame_name(mask)]
        names += [match[1] for name in names[:2] if (match := _MARK_BEFORE.fullmatch(name))]
        exact = [name for name in names if name in stems]
        alike = [folded[_fold(name)] for name in names if _fold(name) in folded]
        by_name[[*exact, *alike, mask.stem][0]].append(mask)
    found = []
    for frame in frames:
        fitting = by_name.get(frame.stem, [])
        if len(fitting) > 1:
            raise InputError(f"{fitting[0]}: {fitting[1].name} is a mask of the same frame, {frame.name}; remove one")
        found.append(fitting[0] if fitting else folder / f"{frame.stem}.png")
    return found, sorted(set(masks) - set(found))


def frame_names(masks: Iterable[Path]) -> list[str]:
    """Name the frames of a folder's masks or maps: their names without suffix, and without ``_mask`` if all have it.

    Args:
        masks: all masks of the folder.

    Returns:
        The names in the order of the masks, with :func:`~lsinet_monai.data.folders.composed` letters.
    """
    masks = list(masks)
    names = [_frame_name(mask) for mask in masks]
    have_marks = all(name != mask.stem for name, mask in zip(names, masks, strict=True))
    found = names if have_marks and len(set(names)) == len(names) else [mask.stem for mask in masks]
    return list(map(composed, found))


def _fold(name: str) -> str:
    return composed(name).casefold()


def _frame_name(mask: Path) -> str:
    """The frame's name in ``x_mask.png`` and ``x.jpg.png``."""
    stem = _without_suffix(mask.stem)
    found = MASK_NAME.fullmatch(stem)
    return found[1] if found else stem or mask.stem


def _without_suffix(stem: str) -> str:
    for suffix in FRAME_SUFFIXES:
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    return stem
