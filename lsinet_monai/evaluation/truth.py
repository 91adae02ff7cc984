"""Finds the clips to score: masks of a dataset in SUN-SEG's layout, or of a lone folder; and negative clips."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lsinet_monai.data import SPLITS, find_clips
from lsinet_monai.data.folders import composed, find_folder
from lsinet_monai.data.frames import FRAME_SUFFIXES, frame_size
from lsinet_monai.data.mask_files import MaskRule, find_mask_rule, frame_names, read_mask
from lsinet_monai.errors import InputError

__all__ = ["LONE_SPLIT", "NEGATIVE_SPLIT", "Key", "TruthClip", "list_cases", "truth_clips", "with_mask_rules"]

LONE_SPLIT = "all"
"""The split of a lone folder of masks."""

NEGATIVE_SPLIT = "negative"
"""The split of clips without a polyp."""

Key = tuple[str, str]
"""A clip's split and case."""


@dataclass(frozen=True)
class TruthClip:
    """A clip with known truth."""

    split: str
    case: str
    names: tuple[str, ...]
    """The frames' names, without suffix, in order."""
    masks: tuple[Path, ...] | None
    """The true masks; None for a negative clip, whose masks are all black."""
    frames: Mapping[str, Path]
    """The frames themselves by name, for pictures; empty or incomplete if they do not lie next to the masks."""

    rule: MaskRule | None = None
    """Says which pixels of the masks are polyp; None finds it out for each mask alone."""

    @property
    def key(self) -> Key:
        """The clip's split and case."""
        return self.split, self.case

    def mask(self, index: int) -> np.ndarray:
        """Read the true mask of a frame: bool, (H, W).

        Raises:
            InputError: the mask, or the frame of a negative clip, cannot be read; or it is not clear what is polyp.
        """
        if self.masks is None:
            return np.zeros(frame_size(self.frames[self.names[index]]), bool)
        return read_mask(self.masks[index], self.rule)


def truth_clips(
    predictions: Mapping[str, str | os.PathLike[str]],
    truth: str | os.PathLike[str],
    negative_dir: str | os.PathLike[str] | None = None,
) -> list[TruthClip]:
    """Find the clips whose maps :func:`score_folders` scores.

    Args:
        predictions: the folder of maps by method; it decides whether the training split is scored.
        truth: a dataset in SUN-SEG's layout, a ``GT`` folder, or the folder that holds one.
        negative_dir: case folders of frames without a polyp.

    Raises:
        InputError: a folder is missing or empty, or a split has maps but no truth.
    """
    clips = _find_truth(Path(truth), {name: Path(folder) for name, folder in predictions.items()})
    if negative_dir is not None:
        clips += _find_negative(Path(negative_dir))
    return clips


def with_mask_rules(clips: Sequence[TruthClip], mask_values: Any = None) -> list[TruthClip]:
    """Find out for each split which pixels of its masks are polyp.

    Args:
        clips: the truth's clips.
        mask_values: which pixels are polyp; None finds it out, see :func:`~lsinet_monai.data.find_mask_rule`.

    Returns:
        The clips with their rule; negative clips have none.

    Raises:
        InputError: the masks could mean several things, or none shows a polyp.
    """
    masks: dict[str, list[Path]] = {}
    for clip in clips:
        if clip.masks is not None:
            masks.setdefault(clip.split, []).extend(clip.masks)
    rules = {split: find_mask_rule(paths, mask_values) for split, paths in masks.items()}
    return [clip if clip.masks is None else replace(clip, rule=rules[clip.split]) for clip in clips]


def list_cases(folder: Path, what: str) -> dict[str, list[Path]]:
    """List the images of every folder below a folder, by relative path; the folder's own images are the case ``""``.

    The paths have :func:`~lsinet_monai.data.folders.composed` letters.

    Args:
        folder: the folder.
        what: the name of its images in errors, such as "maps".

    Raises:
        InputError: the folder is missing, neither it nor a folder in it holds an image, or two folders differ only in
            how their letters are written.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of {what}")
    try:
        found = find_clips(folder)
    except InputError as error:
        if "holds no frames" not in str(error):  # such as a link to nothing
            raise
        suffixes = ", ".join(FRAME_SUFFIXES)
        raise InputError(f"{folder}: holds no {what} ({suffixes}), nor do its folders") from error
    cases: dict[str, list[Path]] = {}
    for clip in found:
        images = [Path(image) for image in clip["image"]]
        case = "" if images[0].parent == folder else composed(str(clip["clip_id"]))
        if case in cases:
            raise InputError(
                f"{images[0].parent}: has the name of another folder, but for how its letters are written: rename one"
            )
        cases[case] = images
    return cases


def _by_frame(names: Sequence[str], files: Sequence[Path]) -> dict[str, Path]:
    """Index a folder's files by the names of their frames.

    Raises:
        InputError: two files have the name of one frame.
    """
    found: dict[str, Path] = {}
    for name, file in zip(names, files, strict=True):
        if name in found:
            raise InputError(f"{file}: {found[name].name} is of the same frame; remove one")
        found[name] = file
    return found


def _find_truth(root: Path, predictions: Mapping[str, Path]) -> list[TruthClip]:
    if not root.is_dir():
        raise InputError(f"truth {root}: no such folder; give a dataset in SUN-SEG's layout, or a GT folder")
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if not splits:
        gt = root / "GT" if (root / "GT").is_dir() else root
        return _read_truth(gt, gt.parent / "Frame" if gt.name == "GT" else None, LONE_SPLIT)
    for method, folder in predictions.items():
        for split in SPLITS:
            if (folder / split).is_dir() and split not in splits:
                raise InputError(
                    f"{method}: {folder / split} has maps of a split without truth; add {root / split / 'GT'}"
                )
    # The training split is scored only if someone has maps of it.
    is_wanted = {split: any((folder / split).is_dir() for folder in predictions.values()) for split in splits}
    wanted = [split for split in splits if split != SPLITS[0] or is_wanted[split]]
    if not wanted:
        raise InputError(
            f"truth {root}: holds no test split ({', '.join(SPLITS[1:])}), and there are no maps of {splits[0]}"
        )
    return [clip for split in wanted for clip in _read_truth(root / split / "GT", root / split / "Frame", split)]


def _read_truth(gt: Path, frame_folder: Path | None, split: str) -> list[TruthClip]:
    if not gt.is_dir():
        raise InputError(f"{split} has no truth: {gt} is missing; add its masks, or remove {gt.parent}")
    cases = list_cases(gt, "masks")
    stray = next((case for case in cases if {"Frame", "GT"} & set(cases[case][0].relative_to(gt).parts)), None)
    if stray is not None:
        raise InputError(
            f"truth {gt}: holds more than masks ({cases[stray][0]}); give a dataset in SUN-SEG's layout, or a GT folder"
        )
    clips = []
    for case, masks in cases.items():
        folder = None if frame_folder is None else find_folder(frame_folder, case)
        files = folder.iterdir() if folder is not None and folder.is_dir() else ()
        frames = {composed(path.stem): path for path in files if path.suffix.lower() in FRAME_SUFFIXES}
        names = tuple(_by_frame(frame_names(masks), masks))
        clips.append(TruthClip(split, case or composed(gt.resolve().name), names, tuple(masks), frames))
    return clips


def _find_negative(folder: Path) -> list[TruthClip]:
    clips = []
    for case, paths in list_cases(folder, "frames").items():
        frames = _by_frame([composed(path.stem) for path in paths], paths)
        clips.append(TruthClip(NEGATIVE_SPLIT, case or composed(folder.resolve().name), tuple(frames), None, frames))
    return clips
