"""Write generated clips as a data set in SUN-SEG's layout."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import atomic_write

__all__ = ["HELD_OUT", "TRAIN", "check_made_set", "prepare_dataset", "write_case"]

TRAIN, HELD_OUT = "TrainDataset", "TestEasyDataset/Unseen"
SMALLEST_SIDE = 32  # pixels; below it polyps are a handful of pixels
_LARGEST_SIDE = 8192


def check_made_set(size: tuple[int, int], **limits: tuple[int, int]) -> None:
    """Check the size of the frames, and other numbers, of a data set to generate.

    Args:
        size: height and width of the frames in pixels.
        limits: ``name=(value, minimum)`` of other numbers.

    Raises:
        InputError: a number is below its minimum, or a side below 32 or above 8192.
    """
    for name, (value, minimum) in limits.items():
        if value < minimum:
            raise InputError(f"{name} is {value}, but must be at least {minimum}")
    if min(size) < SMALLEST_SIDE or max(size) > _LARGEST_SIDE:
        raise InputError(
            f"size is {size[0]}x{size[1]} (height x width), but each must be at least {SMALLEST_SIDE} and at most "
            f"{_LARGEST_SIDE}"
        )


def prepare_dataset(root: Path, note: str, text: str, splits: Sequence[str], overwrite: bool) -> None:
    """Make the folder of a data set; with ``overwrite``, remove the splits of an earlier set of the same kind.

    Args:
        root: the folder.
        note: the name of a text file in it that marks a set of this kind.
        text: what the file says.
        splits: the folders of its splits; no other folder is removed.
        overwrite: replace a set of this kind.

    Raises:
        InputError: ``root`` is a file, cannot be made, or is not empty and may not be overwritten.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: name a folder for the data set")
    if root.is_dir() and any(root.iterdir()):
        if not overwrite:
            raise InputError(f"{root} is not empty: name another folder, or replace what is in it with --overwrite")
        if not (root / note).is_file():
            raise InputError(
                f"{root} has no {note}, so another program may have written its files, and they are not overwritten: "
                "name another folder"
            )
        for split in splits:
            if (root / split).exists():
                shutil.rmtree(root / split)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root}: cannot be made ({error.strerror}): name another folder") from error
    with atomic_write(root / note) as file:
        file.write_text(text, encoding="utf-8")


def write_case(
    split: Path, case: str, clip: Iterable[tuple[np.ndarray, np.ndarray]], stem: str, progress: tqdm
) -> None:
    """Write a clip's frames as JPEG and its masks as PNG of 0 and 255. Its folders appear when it is complete.

    Args:
        split: the split's folder.
        case: the name of the clip's folder.
        clip: frames, uint8, (H, W, 3), RGB, and masks, uint8, (H, W), 0 and 255, or bool.
        stem: the frames' names without their numbers, which start at 1, and suffix.
        progress: is updated after each frame.
    """
    split.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=split, prefix=".unfinished-") as name:
        # The temporary folder itself is private. Folders made inside it have the usual permissions, and keep them.
        frames, masks = Path(name) / "Frame", Path(name) / "GT"
        frames.mkdir()
        masks.mkdir()
        for index, (frame, mask) in enumerate(clip, start=1):
            Image.fromarray(frame).save(frames / f"{stem}{index:04d}.jpg", quality=92)
            Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(masks / f"{stem}{index:04d}.png")
            progress.update()
        # The frames' folder last, so that a case with frames always has its masks.
        for folder, kind in ((masks, "GT"), (frames, "Frame")):
            target = split / kind / case
            target.parent.mkdir(exist_ok=True)
            os.replace(folder, target)
