"""The clips that networks are compared on: phantom clips, and clips that a fold holds out of the training data."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsinet_monai.data import Clip, natural_key, patient_of, phantom_clip, read_frame, read_mask, read_split

FOLDS = 3
PHANTOM_SIZE = (128, 160)


class ReadClip(NamedTuple):
    """A decoded clip: frames uint8, (H, W, 3), RGB, and masks bool, (H, W)."""

    name: str
    frames: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]


def parse_sources(description: str, clips: int, clips_help: str) -> argparse.Namespace:
    """Parse the arguments of an experiment on held-out stills and on CVC-ClinicDB: where they are, model, clips."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--stills", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True, help="the list of held-out stills")
    parser.add_argument("--dataset_dir", type=Path, required=True, help="CVC-ClinicDB")
    parser.add_argument("--checkpoint", type=Path, default=Path("bundle/models/model.pt"))
    parser.add_argument("--clips", type=int, default=clips, help=clips_help)
    return parser.parse_args()


def fold(clips: Sequence[Clip], number: int) -> tuple[list[Clip], list[Clip]]:
    """Divide clips into those to train on and those that are held out.

    Args:
        clips: the clips of a training split.
        number: the fold that is held out, 0 to 2. Each patient belongs to one fold.
    """
    patients = sorted({patient_of(clip) for clip in clips}, key=natural_key)
    np.random.default_rng(0).shuffle(patients)
    held_out = set(patients[number::FOLDS])
    return (
        [clip for clip in clips if patient_of(clip) not in held_out],
        [clip for clip in clips if patient_of(clip) in held_out],
    )


def held_out_clips(dataset_dir: Path, number: int) -> Iterator[ReadClip]:
    """Read the clips of ``TrainDataset`` that a fold holds out."""
    for clip in fold(read_split(dataset_dir, "TrainDataset"), number)[1]:
        frames, masks = [read_frame(path) for path in clip.image], [read_mask(path) for path in clip.label or ()]
        yield ReadClip(clip.clip_id, frames, masks)


def phantom_clips(count: int, frames: int, seed: int) -> Iterator[ReadClip]:
    """Make phantom clips of different patients, with ``frames`` frames each."""
    for patient in range(count):
        images, masks = zip(*phantom_clip(frames, PHANTOM_SIZE, seed, patient), strict=True)
        yield ReadClip(f"phantom {patient}", images, [mask > 0 for mask in masks])
