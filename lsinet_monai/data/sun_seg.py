"""Clips on disk: SUN-SEG's layout and plain folders of frames, read into MONAI data lists.

SUN-SEG (Ji et al., "Video Polyp Segmentation: A Deep Learning Perspective", 2022) lies as::

    <root>/TrainDataset/{Frame,GT}/<case>/<frame>.jpg|.png
    <root>/{TestEasyDataset,TestHardDataset}/{Seen,Unseen}/{Frame,GT}/<case>/<frame>.jpg|.png

A clip is a dictionary, an entry of a MONAI data list: ``clip_id``; ``image``, the paths of its frames in order; and
``label``, the paths of their masks, or None. A negative clip, one known to show no polyp, has ``negative: True`` and
the label None: its masks are all black. A clip whose frames lie in one file has ``video``, its path, instead of
``image``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lsinet_monai.data.frames import FRAME_SUFFIXES, check_frame
from lsinet_monai.errors import InputError

__all__ = [
    "SPLITS",
    "Clip",
    "check_clips",
    "describe_clips",
    "find_clips",
    "find_test_splits",
    "natural_key",
    "patient_of",
    "read_split",
    "split_by_patient",
]

Clip = dict[str, Any]

SPLITS = (
    "TrainDataset",
    "TestEasyDataset/Seen",
    "TestEasyDataset/Unseen",
    "TestHardDataset/Seen",
    "TestHardDataset/Unseen",
)
"""SUN-SEG's splits: the first one trains, the others test."""

_FRAME_FOLDER = "Frame"
_MASK_FOLDER = "GT"
_PROBLEMS_NAMED = 10

logger = logging.getLogger(__name__)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which numbers within names count as numbers: ``image10`` comes after ``image9``.

    SUN-SEG's frames, ``..._a<part>_ayy_image<number>``, so come by part, and by number within a part.

    Args:
        name: a file's or folder's name.

    Returns:
        a key for ``sorted``; names that differ in leading zeros alone still have different keys.
    """
    pieces = re.split("([0-9]+)", name)
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def patient_of(clip: Clip) -> str:
    """Name the patient of a clip: ``case7_1`` and ``case7_3`` are both ``case7``.

    Args:
        clip: a clip; its ``clip_id`` ends with the name of its case folder.

    Returns:
        ``case<number>``, or the whole ``clip_id`` where the folder is not named so: then the clip is its own patient.
    """
    clip_id = str(clip["clip_id"])
    found = re.match("case([0-9]+)", clip_id.rsplit("/", 1)[-1])
    return f"case{int(found[1])}" if found else clip_id


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); give a folder that can be read") from error


def _subfolders(folder: Path) -> list[Path]:
    return sorted((entry for entry in _visible(folder) if entry.is_dir()), key=lambda entry: natural_key(entry.name))


def _frames_in(folder: Path) -> list[Path]:
    frames = [entry for entry in _visible(folder) if entry.suffix.lower() in FRAME_SUFFIXES and entry.is_file()]
    return sorted(frames, key=lambda frame: (natural_key(frame.stem), frame.suffix))


def read_split(
    dataset_dir: str | os.PathLike[str],
    split: str = "TrainDataset",
    negative_dir: str | os.PathLike[str] | None = None,
) -> list[Clip]:
    """List the clips of one split of a dataset in SUN-SEG's layout. No file is opened; see :func:`check_clips`.

    Args:
        dataset_dir: the folder that holds ``TrainDataset``.
        split: one of :data:`SPLITS`.
        negative_dir: case folders of frames that show no polyp, in any layout that :func:`find_clips` reads. Only
            frames that come this way may lack a mask.

    Returns:
        the clips by case, in natural order, then the negative ones. ``clip_id`` is ``<split>/<case>``, or
        ``negative/<case>``; ``label`` names a mask for every frame, whether or not it is there.

    Raises:
        InputError: the dataset, the split or a case's frames are missing, or ``negative_dir`` leads to frames of this
            split or of a test split.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    root = Path(dataset_dir)
    frame_root = root / split / _FRAME_FOLDER
    if not frame_root.is_dir():
        raise InputError(f"{frame_root}: no such folder. {_ways_to_a_dataset(root, split)}")
    clips = [_read_case(case, split) for case in _subfolders(frame_root)]
    if not clips:
        raise InputError(f"{frame_root}: holds no case folders; put one folder of frames a case there")
    if negative_dir is not None:
        clips += _read_negative_clips(Path(negative_dir), clips)
    return clips


def _ways_to_a_dataset(root: Path, split: str) -> str:
    return (
        "SUN-SEG is given on request, for research, by its authors (Ji et al. 2022, https://github.com/GewelsJI/VPS); "
        f"lay it out as {root}/{split}/{{Frame,GT}}/<case>/. Or make a synthetic dataset: python -m "
        f"lsinet_monai phantom {root}"
    )


def _read_case(case: Path, split: str) -> Clip:
    frames = _frames_in(case)
    if not frames:
        raise InputError(f"{case}: holds no frames ({', '.join(FRAME_SUFFIXES)}); remove the folder or fill it")
    masks = case.parent.with_name(_MASK_FOLDER) / case.name
    without_frame = {mask.stem for mask in masks.glob("[!.]*.png")} - {frame.stem for frame in frames}
    if without_frame:
        first = min(without_frame, key=natural_key)
        logger.warning(
            "%s: masks without a frame: %d, such as %s.png; is the copy whole?", masks, len(without_frame), first
        )
    return {
        "clip_id": f"{split}/{case.name}",
        "image": [str(frame) for frame in frames],
        "label": [str(masks / f"{frame.stem}.png") for frame in frames],
    }


def _read_negative_clips(folder: Path, clips: Sequence[Clip]) -> list[Clip]:
    """Read negative clips, and make sure that no polyp of ``clips``, and no test split, is called negative."""
    positive = {Path(clip["image"][0]).resolve() for clip in clips}
    negative_clips = find_clips(folder)
    for clip in negative_clips:
        first = Path(clip["image"][0]).resolve()
        if first in positive or {"TestEasyDataset", "TestHardDataset"} & set(first.parts):
            raise InputError(
                f"negative_dir {folder}: {first.parent} belongs to the dataset itself; give a folder of case folders "
                "whose frames show no polyp"
            )
        clip.update(clip_id=f"negative/{clip['clip_id']}", negative=True)
    return negative_clips


def find_test_splits(dataset_dir: str | os.PathLike[str]) -> list[str]:
    """Name the test splits that a dataset has.

    Args:
        dataset_dir: the folder that holds ``TestEasyDataset`` or ``TestHardDataset``.

    Returns:
        those of :data:`SPLITS` but the first whose ``Frame`` folder is there.

    Raises:
        InputError: there is none.
    """
    root = Path(dataset_dir)
    splits = [split for split in SPLITS[1:] if (root / split / _FRAME_FOLDER).is_dir()]
    if not splits:
        raise InputError(
            f"{root}: holds no test split ({', '.join(SPLITS[1:])}). {_ways_to_a_dataset(root, SPLITS[-1])}"
        )
    return splits


# pytest would collect a function of this name from every test file that imports it.


def find_clips(folder: str | os.PathLike[str]) -> list[Clip]:
    """Find the clips to segment, below any folder.

    Args:
        folder: a dataset, one of its splits, a ``Frame`` folder, a folder of frame folders at any depth, or one folder
            of frames. Where a folder holds a ``Frame`` folder, nothing beside that (``GT``, ``Edge``, ...) is read.

    Returns:
        the clips in natural order. ``clip_id`` is the path below ``folder`` without its ``Frame`` components, or the
        name of ``folder`` if it holds the frames itself; ``label`` is None.

    Raises:
        InputError: there is no such folder, it holds no frames, or two clips would have one ``clip_id``.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give a folder of frames, or of folders of frames")
    clips = [
        {"clip_id": clip_id_of(root, frame_folder), "image": [str(frame) for frame in frames], "label": None}
        for frame_folder, frames in walk(root)
    ]
    if not clips:
        raise InputError(f"{root}: holds no frames ({', '.join(FRAME_SUFFIXES)}), nor do the folders in it")
    check_clip_ids(root, clips)
    return clips


def clip_id_of(root: Path, path: Path) -> str:
    """Name a clip that lies below a folder, or in it: by its path, without ``Frame`` components."""
    parts = [part for part in path.relative_to(root).parts if part != _FRAME_FOLDER]
    return "/".join(parts) or next(
        (part for part in reversed(root.resolve().parts) if part != _FRAME_FOLDER), _FRAME_FOLDER
    )


def check_clip_ids(root: Path, clips: Sequence[Clip]) -> None:
    """Make sure that no two clips have one name.

    Raises:
        InputError: two have.
    """
    twice = [clip_id for clip_id, count in Counter(clip["clip_id"] for clip in clips).items() if count > 1]
    if twice:
        raise InputError(f"{root}: has two clips that would be called {twice[0]!r}; give them one at a time")


def walk(
    folder: Path, is_video: Callable[[Path], bool] = lambda path: False, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, list[Path]]]:
    """Go through all folders below one in natural order, but only through ``Frame`` where there is a folder ``Frame``.

    Args:
        folder: where to begin.
        is_video: tells the files that are videos.
        above: the real paths of the folders above it.

    Yields:
        each folder that holds frames, with these; and each video, without any.
    """
    here = folder.resolve()
    if here in above:  # a link back up, which would be followed for ever
        return
    inner = folder / _FRAME_FOLDER
    if inner.is_dir():
        yield from walk(inner, is_video, (*above, here))
        return
    frames = _frames_in(folder)
    others = [entry for entry in _visible(folder) if entry.is_dir() or is_video(entry)]
    if frames:
        yield folder, frames
    elif not others:
        logger.warning("%s holds no frames and is passed over", folder)
    for entry in sorted(others, key=lambda entry: natural_key(entry.name)):
        if entry.is_dir():
            yield from walk(entry, is_video, (*above, here))
        else:
            yield entry, []


def check_clips(clips: Sequence[Clip], progress: bool = True) -> None:
    """Look at every file of some clips before anything long starts, and report all that is wrong at once.

    Looked for: files that are missing, empty, truncated or of more than 8 bits; frames of one clip that differ in
    size; masks of another size than their frame; two frames of one clip whose names differ in the suffix alone, which
    would share a mask and overwrite each other's results.

    Args:
        clips: the clips, as :func:`read_split` or :func:`find_clips` list them. Masks without a frame are ignored,
            and so are clips that are a ``video``: what is damaged in these is found, and told, when they are read.
        progress: show a progress bar on standard error.

    Raises:
        InputError: with the number of problems, and the first ten of them.
    """
    clips = [clip for clip in clips if "image" in clip]
    paths = [path for clip in clips for path in [*clip["image"], *(clip["label"] or [])]]
    with ThreadPoolExecutor() as pool:
        results = pool.map(_size_or_problem, paths)
        bar = tqdm(results, total=len(paths), desc="checking files", unit="file", disable=not progress or not paths)
        found = dict(zip(paths, bar, strict=True))
    problems = [problem for clip in clips for problem in _problems_of(clip, found)]
    if problems:
        more = f"; and {len(problems) - _PROBLEMS_NAMED} more" if len(problems) > _PROBLEMS_NAMED else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{count} with the frames and masks: {'; '.join(problems[:_PROBLEMS_NAMED])}{more}")


def describe_clips(clips: Sequence[Clip]) -> str:
    """Say how many clips and frames there are, and a few letters that tell them from others of the same number.

    The letters follow from the clips' names and their frames' file names, in order. Where a dataset lies does not
    matter, and no file is opened.

    Args:
        clips: clips of frames.

    Returns:
        such as "3 with 9 frames, names 0a1b2c3d".
    """
    names = [[clip["clip_id"], *(Path(frame).name for frame in clip["image"])] for clip in clips]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    return f"{len(clips)} with {sum(len(clip['image']) for clip in clips)} frames, names {digest}"


def _size_or_problem(path: str) -> tuple[int, int] | str:
    try:
        return check_frame(path)
    except InputError as error:
        return str(error)


def _problems_of(clip: Clip, found: dict[str, tuple[int, int] | str]) -> Iterator[str]:
    frames, masks = clip["image"], clip["label"]
    stems: set[str] = set()
    clip_size = next((found[frame] for frame in frames if isinstance(found[frame], tuple)), None)
    for at, frame in enumerate(frames):
        size = found[frame]
        if isinstance(size, str):
            yield size
        elif size != clip_size:
            yield f"{frame}: is {_text(size)}, other frames of its clip {_text(clip_size)}; make them one size"
        stem = Path(frame).stem
        if stem in stems:
            yield f"{frame}: another frame of its clip has this name but for the suffix; rename one"
        stems.add(stem)
        if masks is None:
            continue
        mask_size = found[masks[at]]
        if isinstance(mask_size, str):
            yield mask_size
        elif isinstance(size, tuple) and mask_size != size:
            yield f"{masks[at]}: the mask is {_text(mask_size)}, its frame {_text(size)}; make them one size"


def _text(size: tuple[int, int] | str | None) -> str:
    return "x".join(map(str, size or ()))


def split_by_patient(clips: Sequence[Clip], fraction: float = 0.1, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Hold out some patients for validation, all of a patient's clips together; logs which clips those are.

    SUN-SEG has no validation split, and its test splits must choose nothing. Patients without a polyp are held out by
    themselves, so that negative clips, which may be many more, do not take the place of those that have a Dice.

    Args:
        clips: the clips of ``TrainDataset``.
        fraction: the share of the frames to hold out, in [0, 1). It is approached by whole patients: above 0, at least
            one patient with a polyp is held out and at least one is left to train on. With a single one, none is held
            out. Of the patients who have negative clips only, the same share is held out.
        seed: chooses the patients.

    Returns:
        the training clips and the validation clips, each in the order given.

    Raises:
        InputError: ``fraction`` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise InputError(f"validation fraction {fraction} is outside [0, 1); 0 holds out nothing")
    with_polyp = {patient_of(clip) for clip in clips if not clip.get("negative")}
    frames, frames_without = Counter[str](), Counter[str]()
    for clip in clips:
        (frames if patient_of(clip) in with_polyp else frames_without)[patient_of(clip)] += len(clip["image"])
    held_out: set[str] = set()
    if fraction > 0 and len(frames) > 1:
        held_out = _hold_out(frames, fraction, seed, at_least=1) | _hold_out(frames_without, fraction, seed, at_least=0)

    training = [clip for clip in clips if patient_of(clip) not in held_out]
    validation = [clip for clip in clips if patient_of(clip) in held_out]
    logger.info(
        "%d of %d clips (%d of %d frames) held out for validation: %s",
        len(validation),
        len(clips),
        sum(len(clip["image"]) for clip in validation),
        sum(len(clip["image"]) for clip in clips),
        ", ".join(clip["clip_id"] for clip in validation) or "none",
    )
    return training, validation


def _hold_out(frames: Counter[str], fraction: float, seed: int, at_least: int) -> set[str]:
    """Choose patients, but never all, whose frames come as near to a share of all frames as whole patients can."""
    patients = sorted(frames, key=natural_key)
    random.Random(seed).shuffle(patients)
    held_out: set[str] = set()
    missing = fraction * frames.total()
    for patient in patients:
        if abs(missing - frames[patient]) < missing and len(held_out) < len(patients) - 1:
            held_out.add(patient)
            missing -= frames[patient]
    return held_out or set(sorted(patients, key=lambda patient: frames[patient])[:at_least])
