"""Data sets of clips made from stills."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lsinet_monai.data.dataset_writer import HELD_OUT, check_made_set, prepare_dataset, write_case
from lsinet_monai.data.frames import read_frame
from lsinet_monai.data.mask_files import read_mask
from lsinet_monai.data.stills.folder import find_stills
from lsinet_monai.data.stills.still_clip import StillClip

__all__ = ["write_still_clips"]

_NOTE = "STILL_CLIPS.txt"


def write_still_clips(
    root: str | os.PathLike[str],
    stills_dir: str | os.PathLike[str],
    frames: int = 60,
    size: tuple[int, int] = (384, 480),
    seed: int = 0,
    effects: Mapping[str, float] | None = None,
    mask_values: Any = None,
    overwrite: bool = False,
) -> None:
    """Write a test set of clips in SUN-SEG's layout, one for each still, with a progress bar.

    A clip goes to ``<root>/TestEasyDataset/Unseen/{Frame,GT}/<name of the still>``. Its masks are exact: they show what
    is visible of the still's own mask. Frames are JPEG files, masks 8-bit PNG files of 0 and 255.
    ``<root>/STILL_CLIPS.txt`` says how they were made. A case's folder appears when the case is complete.

    Args:
        root: the folder to write to; it is made if it does not exist.
        stills_dir: pictures with masks, see :func:`~lsinet_monai.data.find_stills`.
        frames: length of every clip, at least 1; 25 frames are a second.
        size: height and width of the frames in pixels, at least 32 each.
        seed: seed of the clips, at least 0. The same stills, seed and numbers give the same clips.
        effects: shares of effects, see :class:`~lsinet_monai.data.StillClip`.
        mask_values: which pixels of the masks are polyp, see :func:`~lsinet_monai.data.with_mask_rule`.
        overwrite: replace the clips in ``root``. Only the folder of the split is removed.

    Raises:
        InputError: a number is too small; the stills or the effects cannot be used; ``root`` is a file; or ``root`` is
            not empty, and either ``overwrite`` is off or this function did not write it.
    """
    check_made_set(size, frames=(frames, 1), seed=(seed, 0))
    clips = find_stills(stills_dir, mask_values=mask_values)
    root = Path(root)
    text = (
        "The frames in this folder are not a video: a camera was moved over stills by a program.\n"
        f"Made by: python -m lsinet_monai stills OUT --stills STILLS --frames {frames} --size {size[0]}x{size[1]} "
        f"--seed {seed}\n"
    )
    prepare_dataset(root, _NOTE, text, (HELD_OUT,), overwrite)
    with tqdm(total=len(clips) * frames, unit="frame", desc="clips from stills") as progress:
        for number, clip in enumerate(clips):
            assert clip.label is not None
            still, mask = read_frame(clip.image[0]), read_mask(clip.label[0], clip.mask_rule)
            name = clip.clip_id.removeprefix("stills/").replace("/", "_")
            made = StillClip(still, mask, size, seed + number, frames, effects)
            write_case(root / HELD_OUT, name, made, f"{name}_", progress)
