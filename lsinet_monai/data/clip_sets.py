"""The sets of clips to train on, to validate with and to test on: videos with masks, videos without a polyp, stills."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lsinet_monai.data.clip_masks import with_mask_rule
from lsinet_monai.data.clips import Clip
from lsinet_monai.data.stills import find_stills, read_held_out
from lsinet_monai.data.sun_seg import read_negative_clips, read_split
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import check_paths

__all__ = ["read_test_clips", "read_training_clips", "split_held_out"]


def read_training_clips(
    dataset_dir: str | os.PathLike[str] | None = None,
    negative_dir: str | os.PathLike[str] | None = None,
    stills_dir: str | os.PathLike[str] | None = None,
    mask_values: Any = None,
) -> list[Clip]:
    """List the clips to train on.

    Args:
        dataset_dir: a data set in SUN-SEG's layout, see :func:`~lsinet_monai.data.read_split`; None or "" for none.
        negative_dir: case folders of frames that show no polyp.
        stills_dir: pictures with masks, see :func:`~lsinet_monai.data.find_stills`.
        mask_values: which pixels of the masks are polyp, see :func:`~lsinet_monai.data.with_mask_rule`.

    Returns:
        the data set's clips, the negative ones, then the stills.

    Raises:
        InputError: neither ``dataset_dir`` nor ``stills_dir`` is given, or one of the folders cannot be used.
    """
    check_paths(dataset_dir=dataset_dir, negative_dir=negative_dir, stills_dir=stills_dir)
    dataset_dir = dataset_dir or None  # an empty text on the command line means null
    if dataset_dir is None and stills_dir is None:
        raise InputError("there is nothing to train on: give dataset_dir, stills_dir or both")
    clips = [] if dataset_dir is None else with_mask_rule(read_split(dataset_dir), mask_values)
    if negative_dir is not None:
        clips += read_negative_clips(negative_dir, clips)
    if stills_dir is not None:
        clips += find_stills(stills_dir, mask_values=mask_values)
    return clips


def read_test_clips(
    dataset_dir: str | os.PathLike[str],
    splits: Sequence[str],
    negative_dir: str | os.PathLike[str] | None = None,
    mask_values: Any = None,
) -> list[Clip]:
    """List the clips to test on.

    Args:
        dataset_dir: a data set in SUN-SEG's layout, see :func:`~lsinet_monai.data.read_split`.
        splits: the splits to read, in order.
        negative_dir: case folders of frames that show no polyp. They follow the first split's clips.
        mask_values: which pixels of the masks are polyp, see :func:`~lsinet_monai.data.with_mask_rule`. Each split has
            its own rule.

    Raises:
        InputError: a split or ``negative_dir`` cannot be used.
    """
    clips = []
    for number, split in enumerate(splits):
        found = read_split(dataset_dir, split, negative_dir if number == 0 else None)
        clips += with_mask_rule(found, mask_values)
    return clips


def split_held_out(
    stills_dir: str | os.PathLike[str], held_out: str | os.PathLike[str] | None, mask_values: Any = None
) -> tuple[list[Clip], list[Clip]]:
    """Divide stills by a list of held-out ones.

    Args:
        stills_dir: pictures with masks, see :func:`~lsinet_monai.data.find_stills`.
        held_out: the list, see :func:`~lsinet_monai.data.read_held_out`.
        mask_values: which pixels of the masks are polyp, see :func:`~lsinet_monai.data.with_mask_rule`.

    Returns:
        the stills that are not in the list, to train on; and those of its split "validation".

    Raises:
        InputError: the stills or the list cannot be used, or there is no list.
    """
    if held_out is None:
        raise InputError("stills_held_out=None: give a list of pictures, in lines such as: NAME validation")
    train = find_stills(stills_dir, leave_out=read_held_out(held_out), mask_values=mask_values)
    return train, find_stills(stills_dir, only=read_held_out(held_out, "validation"), mask_values=mask_values)
