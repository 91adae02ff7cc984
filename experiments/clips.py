"""Clips that networks are compared on, and the folds in which those of the training data are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsinet_monai.data import patient_of, phantom_clip, read_split
from lsinet_monai.data.frames import read_frame, read_mask
from lsinet_monai.data.sun_seg import Clip, natural_key

FOLDS = 3
PHANTOM_SIZE = (128, 160)


class ReadClip(NamedTuple):
    """A clip whose frames are uint8, (H, W, 3), and whose masks are bool, (H, W)."""

    name: str
    frames: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]


def fold(clips: Sequence[Clip], number: int) -> tuple[list[Clip], list[Clip]]:
    """Share clips in those to train on and those held out, each patient in one of three folds, 0 to 2."""
    patients = sorted({patient_of(clip) for clip in clips}, key=natural_key)
    np.random.default_rng(0).shuffle(patients)
    held_out = set(patients[number::FOLDS])
    return (
        [clip for clip in clips if patient_of(clip) not in held_out],
        [clip for clip in clips if patient_of(clip) in held_out],
    )


def held_out_clips(dataset_dir: Path, number: int) -> Iterator[ReadClip]:
    """The clips of ``TrainDataset`` that a fold holds out."""
    for clip in fold(read_split(dataset_dir, "TrainDataset"), number)[1]:
        frames, masks = [read_frame(path) for path in clip["image"]], [read_mask(path) for path in clip["label"] or ()]
        yield ReadClip(clip["clip_id"], frames, masks)


def phantom_clips(count: int, frames: int, seed: int) -> Iterator[ReadClip]:
    """Clips of the phantom."""
    for patient in range(count):
        pictures, masks = zip(*phantom_clip(frames, PHANTOM_SIZE, seed, patient), strict=True)
        yield ReadClip(f"phantom {patient}", pictures, [mask > 0 for mask in masks])
