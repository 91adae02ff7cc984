"""SUN-SEG's splits (Ji et al., "Video Polyp Segmentation: A Deep Learning Perspective", 2022).

Its layout::

    <root>/TrainDataset/{Frame,GT}/<case>/<frame>.jpg|.png
    <root>/{TestEasyDataset,TestHardDataset}/{Seen,Unseen}/{Frame,GT}/<case>/<frame>.jpg|.png

A mask may have any of a frame's suffixes, and ``_mask`` after the frame's name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lsinet_monai.data.clips import Clip
from lsinet_monai.data.folders import FRAME_FOLDER, find_folder, frames_in, natural_key, say_how_read, subfolders
from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.data.inputs import find_clips
from lsinet_monai.data.mask_files import match_masks
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import check_paths

__all__ = ["SPLITS", "find_test_splits", "read_negative_clips", "read_split"]

SPLITS = (
    "TrainDataset",
    "TestEasyDataset/Seen",
    "TestEasyDataset/Unseen",
    "TestHardDataset/Seen",
    "TestHardDataset/Unseen",
)
"""SUN-SEG's splits: the first one is for training, the others are for testing."""

_MASK_FOLDER = "GT"

logger = logging.getLogger(__name__)


def read_split(
    dataset_dir: str | os.PathLike[str],
    split: str = "TrainDataset",
    negative_dir: str | os.PathLike[str] | None = None,
) -> list[Clip]:
    """List the clips of one split of a dataset in SUN-SEG's layout.

    No file is opened; :func:`~lsinet_monai.data.check_clips` does that.

    Args:
        dataset_dir: the folder that holds ``TrainDataset``.
        split: one of :data:`SPLITS`.
        negative_dir: case folders of frames that show no polyp, in any layout that
            :func:`~lsinet_monai.data.find_clips` reads. Only these frames may lack a mask.

    Returns:
        the clips by case, in natural order, then the negative ones. ``clip_id`` is ``<split>/<case>``, or
        ``negative/<case>``; ``label`` names a mask for every frame, whether the file exists or not.

    Raises:
        InputError: the dataset, the split or a case's frames are missing; masks lie among the frames; a frame has two
            masks; no file in a case's folder of masks is named like a frame; or ``negative_dir`` holds frames of this
            split or of a test split.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    check_paths(dataset_dir=dataset_dir, negative_dir=negative_dir)
    root = Path(dataset_dir)
    frame_root = root / split / FRAME_FOLDER
    if not frame_root.is_dir():
        raise InputError(f"{frame_root}: no such folder. {_ways_to_a_dataset(root, split)}")
    clips = [_read_case(case, split) for case in subfolders(frame_root)]
    if not clips:
        raise InputError(f"{frame_root}: holds no case folders; put one folder of frames per case there")
    if negative_dir is not None:
        clips += read_negative_clips(negative_dir, clips)
    return clips


def _ways_to_a_dataset(root: Path, split: str) -> str:
    return (
        "SUN-SEG is given on request, for research, by its authors (Ji et al. 2022, https://github.com/GewelsJI/VPS); "
        f"lay it out as {root}/{split}/{{Frame,GT}}/<case>/. Or make a synthetic dataset: python -m "
        f"lsinet_monai phantom {root}"
    )


def _read_case(case: Path, split: str) -> Clip:
    frames = frames_in(case)
    if not frames:
        raise InputError(f"{case}: holds no frames ({', '.join(FRAME_SUFFIXES)}); remove the folder or fill it")
    say_how_read(case, frames)
    folder = find_folder(case.parent.with_name(_MASK_FOLDER), case.name)
    masks, without_frame = match_masks(frames, folder)
    gifs = [path for path in folder.glob("*.[gG][iI][fF]") if not path.name.startswith(".")]
    others = [path.name for path in (*without_frame, *gifs)]
    if others and not any(mask.is_file() for mask in masks):
        raise InputError(
            f"{folder}: no mask in it is named like a frame; it has {min(others, key=natural_key)}: name each mask "
            f"like its frame, such as {frames[0].stem}.png"
        )
    if without_frame:
        first = min((mask.name for mask in without_frame), key=natural_key)
        logger.warning(
            "%s: masks without a frame: %d, such as %s; is the copy complete?", folder, len(without_frame), first
        )
    return Clip(
        f"{split}/{case.name}",
        image=[str(frame) for frame in frames],
        label=[str(mask) for mask in masks],
    )


def read_negative_clips(negative_dir: str | os.PathLike[str], clips: Sequence[Clip] = ()) -> list[Clip]:
    """List clips that show no polyp.

    Args:
        negative_dir: case folders of frames, in any layout that :func:`~lsinet_monai.data.find_clips` reads.
        clips: the clips with a polyp; none of them may be in ``negative_dir``.

    Returns:
        the clips, each with ``negative`` set; ``clip_id`` is ``negative/<case>``.

    Raises:
        InputError: the folder holds no frames, or frames of ``clips`` or of a test split.
    """
    folder = Path(negative_dir)
    positive = {Path(clip.image[0]).resolve() for clip in clips}
    found = []
    for clip in find_clips(folder):
        first = Path(clip.image[0]).resolve()
        if first in positive or {"TestEasyDataset", "TestHardDataset"} & set(first.parts):
            raise InputError(
                f"negative_dir {folder}: {first.parent} belongs to the dataset itself; give a folder of case folders "
                "whose frames show no polyp"
            )
        found.append(replace(clip, clip_id=f"negative/{clip.clip_id}", negative=True))
    return found


def find_test_splits(dataset_dir: str | os.PathLike[str] | None) -> list[str]:
    """List the test splits that a dataset has.

    Args:
        dataset_dir: the folder that holds ``TestEasyDataset`` or ``TestHardDataset``.

    Returns:
        the test splits of :data:`SPLITS` whose ``Frame`` folder exists.

    Raises:
        InputError: no dataset is given, or it has no test split.
    """
    check_paths(dataset_dir=dataset_dir)
    if not dataset_dir:  # as in a training on stills
        raise InputError(f"dataset_dir={dataset_dir!r}: give a dataset with a test split, {', '.join(SPLITS[1:])}")
    root = Path(dataset_dir)
    splits = [split for split in SPLITS[1:] if (root / split / FRAME_FOLDER).is_dir()]
    if not splits:
        raise InputError(
            f"{root}: holds no test split ({', '.join(SPLITS[1:])}). {_ways_to_a_dataset(root, SPLITS[-1])}"
        )
    return splits
