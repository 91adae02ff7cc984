"""Clips and data sets of the phantom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lsinet_monai.data.dataset_writer import HELD_OUT, TRAIN, check_made_set, prepare_dataset, write_case
from lsinet_monai.data.phantom.camera import Camera, Lens
from lsinet_monai.data.phantom.colon import Colon
from lsinet_monai.data.phantom.examination import Examination
from lsinet_monai.masks import has_polyp

__all__ = ["phantom_clip", "phantom_mucosa", "write_phantom"]

_MUCOSA_FRAMES = 60  # at most so many frames after a clip's start
NOTE = "PHANTOM.txt"


def phantom_clip(
    frames: int, size: tuple[int, int], seed: int, patient: int = 0, clip: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Make a clip of synthetic colonoscopy, frame by frame, in constant memory.

    The same arguments always give the same clip. A longer clip begins with the frames of a shorter one. The camera
    visits one polyp after another; each leaves the view and comes back.

    Args:
        frames: length of the clip, at least 1; 30 frames are a second.
        size: height and width of a frame in pixels, at least 32 each.
        seed: seed of the whole phantom, at least 0.
        patient: number of the patient, at least 0. The clips of a patient share the colon's shape, colours and texture,
            and the endoscope's lens.
        clip: number of the patient's clip, at least 0. Each clip has its own camera path and polyps.

    Returns:
        An iterator over (frame, mask): the frame uint8 (H, W, 3) RGB, the mask uint8 (H, W), 255 where a polyp is
        visible inside the field of view and 0 elsewhere.

    Raises:
        InputError: if a number is too small; raised by the call itself, before the first frame.
    """
    check_made_set(size, frames=(frames, 1), seed=(seed, 0), patient=(patient, 0), clip=(clip, 0))
    return _frames(frames, size, seed, patient, clip)


def _frames(
    frames: int, size: tuple[int, int], seed: int, patient: int, clip: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    look = np.random.default_rng([seed, patient])
    colon = Colon(look)
    lens = Lens(look, size)
    path, sensor = np.random.default_rng([seed, patient, clip, 0]), np.random.default_rng([seed, patient, clip, 1])
    examination = Examination(path, colon)
    camera = Camera(sensor, colon, lens)
    shown = False
    for _ in range(frames):
        frame, mask = camera.take(examination.advance(shown))
        shown = has_polyp(mask > 0)
        yield frame, mask


def phantom_mucosa(count: int, size: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Make pictures of synthetic colonoscopy without a polyp, each of another patient.

    Args:
        count: the number of pictures, at least 1.
        size: height and width of a picture in pixels, at least 32 each.
        seed: seed of all pictures, at least 0.

    Returns:
        pictures, uint8, (H, W, 3), RGB.

    Raises:
        InputError: if a number is too small.
    """
    check_made_set(size, count=(count, 1), seed=(seed, 0))
    pictures = []
    for patient in range(count):
        rng = np.random.default_rng([seed, patient, 2])
        colon = Colon(rng)
        camera = Camera(rng, colon, Lens(rng, size))
        examination = Examination(rng, colon)
        for _ in range(rng.integers(1, _MUCOSA_FRAMES)):
            view = examination.advance(shown=True)
        pictures.append(camera.take(replace(view, polyps=[]))[0])
    return pictures


def _cases(clips: int, first_patient: int) -> list[tuple[int, int]]:
    """Number the patients and clips of a split: every third patient has two clips."""
    cases: list[tuple[int, int]] = []
    patient = first_patient
    while len(cases) < clips:
        cases += [(patient, 1), (patient, 2)] if patient % 3 == 0 else [(patient, 1)]
        patient += 1
    return cases[:clips]


def write_phantom(
    root: str | os.PathLike[str], clips: int, frames: int, size: tuple[int, int], seed: int, overwrite: bool = False
) -> None:
    """Write a phantom data set in SUN-SEG's layout, with a progress bar.

    Most clips go to ``<root>/TrainDataset/{Frame,GT}/case<N>_<M>``. A fifth of the clips, and at least one if there are
    two or more, go to ``<root>/TestEasyDataset/Unseen/{Frame,GT}``; these show other patients. Every third patient has
    two clips. Frames are JPEG files, masks 8-bit PNG files of 0 and 255. ``<root>/PHANTOM.txt`` says that all files are
    synthetic. A case's folder appears when the case is complete.

    Args:
        root: the folder to write to; it is made if it does not exist.
        clips: number of clips, at least 1.
        frames: length of every clip, at least 1.
        size: height and width of the frames in pixels, at least 32 each.
        seed: seed of the phantom, at least 0. The same seed and numbers give the same files with the same versions of
            NumPy and Pillow.
        overwrite: replace the phantom in ``root``. Only the folders of the two splits are removed.

    Raises:
        InputError: if a number is too small; if ``root`` is a file; or if ``root`` is not empty, and either
            ``overwrite`` is off or a phantom did not write it.
    """
    check_made_set(size, clips=(clips, 1), frames=(frames, 1), seed=(seed, 0))
    root = Path(root)
    command = (
        f"python -m lsinet_monai phantom OUT --clips {clips} --frames {frames} --size {size[0]}x{size[1]} --seed {seed}"
    )
    text = (
        "All frames and masks in this folder are synthetic: a computed phantom of a colonoscopy, of no patient.\n"
        "They are for trying and testing software. Scores on them say nothing about real colonoscopies.\n\n"
        f"seed: {seed}\nmade by: {command}\n"
    )
    prepare_dataset(root, NOTE, text, (TRAIN, HELD_OUT), overwrite)

    held_out = max(1, round(clips / 5)) if clips > 1 else 0
    train = _cases(clips - held_out, 1)
    test = _cases(held_out, train[-1][0] + 1)
    cases = [(root / TRAIN, case) for case in train] + [(root / HELD_OUT, case) for case in test]
    with tqdm(total=clips * frames, unit="frame", desc="phantom") as progress:
        for split, (patient, clip) in cases:
            stem = f"case_P_{patient:03d}_a{clip}_ayy_image"
            write_case(split, f"case{patient}_{clip}", phantom_clip(frames, size, seed, patient, clip), stem, progress)
