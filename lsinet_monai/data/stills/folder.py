"""Find stills and their masks on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lsinet_monai.data.clips import Clip
from lsinet_monai.data.folders import composed, frames_in
from lsinet_monai.data.frames import FRAME_SUFFIXES, frame_size
from lsinet_monai.data.mask_files import find_mask_rule, frame_names, match_masks
from lsinet_monai.errors import InputError

__all__ = ["find_stills", "read_held_out"]

_LAYOUTS = (("images", "masks"), ("Frame", "GT"), ("image", "mask"))
"""Pairs of folders: of pictures, and of their masks."""

_SMALLEST = 32  # pixels a side


def find_stills(
    stills_dir: str | os.PathLike[str],
    leave_out: Sequence[str] = (),
    only: Sequence[str] | None = None,
    mask_values: Any = None,
) -> list[Clip]:
    """List pictures of polyps that have a mask each.

    Three layouts are read: ``images/`` and ``masks/`` as in Kvasir-SEG; ``Frame/<case>/`` and ``GT/<case>/`` as in
    SUN-SEG; and a flat folder with ``<name>.jpg`` and ``<name>_mask.png``. A mask has its picture's name, with any
    suffix of a picture, and maybe ``_mask`` after it.

    Args:
        stills_dir: the folder.
        leave_out: names of pictures, without suffix, that are not listed.
        only: names of the pictures to list; None lists all.
        mask_values: which pixels of the masks are polyp; None finds it out, see
            :func:`~lsinet_monai.data.find_mask_rule`.

    Returns:
        one clip of one frame for each picture, with ``still`` set, in the order of their names; ``clip_id`` is
        ``stills/<name>``.

    Raises:
        InputError: the folder is missing or has another layout; a picture has no mask, or a mask no picture; a picture
            is smaller than 32 pixels; no mask shows a polyp, or it is not clear which pixels are polyp; or no still
            has a name in ``leave_out`` or ``only``.
    """
    root = Path(stills_dir)
    if not root.is_dir():
        raise InputError(f"stills_dir={str(root)!r} is not a folder: give one with images/ and masks/")
    pairs = _pair(root)
    leave_out, only = ([*map(composed, leave_out)], only and [*map(composed, only)])
    unknown = sorted({*leave_out, *(only or ())} - pairs.keys())
    if unknown:
        raise InputError(
            f"{root}: {len(unknown)} held-out stills are not there, such as {unknown[0]}: give the whole set, or "
            "another list of held-out stills"
        )
    _check(pairs)
    rule = find_mask_rule([mask for _, mask in pairs.values()], mask_values)
    listed = (pairs.keys() if only is None else set(only)) - set(leave_out)
    return [
        Clip(f"stills/{name}", image=[str(picture)], label=[str(mask)], mask_rule=rule, still=True)
        for name, (picture, mask) in pairs.items()
        if name in listed
    ]


def read_held_out(path: str | os.PathLike[str], split: str | None = None) -> list[str]:
    """Read a list of held-out stills: in each line a name and its split; # begins a comment.

    Args:
        path: the text file.
        split: list the stills of this split, such as "validation" or "test"; None lists all.

    Returns:
        names of pictures, without suffix, in the file's order.

    Raises:
        InputError: the file cannot be read, or no line has this split.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of held-out stills ({error})") from error
    words = [line.partition("#")[0].split() for line in lines]
    names = [name for name, *splits in filter(None, words) if split is None or split in splits]
    if not names:
        raise InputError(
            f"{path}: has no line{f' with the split {split!r}' if split else ''}, such as: NAME validation"
        )
    return names


def _pair(root: Path) -> dict[str, tuple[Path, Path]]:
    """Pair pictures and masks by name, in order; a name includes the case folder if there are case folders."""
    for pictures, masks in _LAYOUTS:
        if (root / pictures).is_dir() and (root / masks).is_dir():
            return _pair_folders(root / pictures, root / masks)
    files: dict[str, Path] = {}
    masks_by_name: dict[str, Path] = {}
    for path in frames_in(root):
        name = frame_names([path])[0]
        _add(files, composed(path.stem), path)
        if name != composed(path.stem):
            _add(masks_by_name, name, path)
    if not masks_by_name:
        raise InputError(
            f"{root}: holds neither images/ and masks/, nor Frame/ and GT/, nor pictures NAME.jpg with NAME_mask.png: "
            "arrange the stills so"
        )
    masks_found = {composed(path.stem) for path in masks_by_name.values()}
    alone = [path for name, path in files.items() if name not in masks_by_name and name not in masks_found]
    _check_pairs(alone, [path for name, path in masks_by_name.items() if name not in files])
    return {name: (files[name], mask) for name, mask in masks_by_name.items()}


def _pair_folders(pictures: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
    pairs: dict[str, tuple[Path, Path]] = {}
    named: dict[str, Path] = {}
    left_over: list[Path] = []
    folders = {path.relative_to(root) for root in (pictures, masks) for path in root.rglob("[!.]*") if path.is_dir()}
    for folder in [pictures, *(pictures / name for name in sorted(folders))]:
        found = frames_in(folder) if folder.is_dir() else []
        fitting, others = match_masks(found, masks / folder.relative_to(pictures))
        left_over += others
        for picture, mask in zip(found, fitting, strict=True):
            name = composed(picture.relative_to(pictures).with_suffix("").as_posix())
            _add(named, name, picture)
            pairs[name] = picture, mask
    _check_pairs([picture for picture, mask in pairs.values() if not mask.is_file()], left_over)
    if not pairs:
        raise InputError(f"{pictures}: holds no pictures ({', '.join(FRAME_SUFFIXES)})")
    return pairs


def _add(files: dict[str, Path], name: str, file: Path) -> None:
    if name in files:
        raise InputError(f"{file}: {files[name].name} has the same name but for suffix or mark; rename or remove one")
    files[name] = file


def _check_pairs(pictures: Sequence[Path], masks: Sequence[Path]) -> None:
    """Refuse pictures without a mask, and masks without a picture."""
    for alone, other in ((pictures, "mask"), (masks, "picture")):
        if alone:
            others = f", nor have {len(alone) - 1} others" if len(alone) > 1 else ""
            raise InputError(f"{alone[0]}: has no {other}{others}; add it, or remove the file")


def _check(pairs: dict[str, tuple[Path, Path]]) -> None:
    for picture, mask in pairs.values():
        size, mask_size = frame_size(picture), frame_size(mask)
        if min(size) < _SMALLEST:
            raise InputError(f"{picture}: is {size[1]}x{size[0]} pixels; {_SMALLEST} a side are the least: remove it")
        if mask_size != size:
            raise InputError(
                f"{mask}: the mask is {mask_size[1]}x{mask_size[0]}, its picture {size[1]}x{size[0]}: make them "
                "one size"
            )
