"""A clip, checks of its files, and the ways to divide clips: by patient, and among processes."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lsinet_monai.data.folders import natural_key
from lsinet_monai.data.frames import ImageFacts, check_image, frame_size
from lsinet_monai.data.mask_files import MaskRule
from lsinet_monai.data.video import open_video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import check_numbers

__all__ = [
    "Clip",
    "ResumePoint",
    "check_clips",
    "clip_extent",
    "describe_clips",
    "patient_of",
    "rank_clips",
    "split_by_patient",
]

_PROBLEMS_NAMED = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResumePoint:
    """Where to resume a clip that an earlier run has begun."""

    frames_done: int = 0
    """The number of frames that are segmented already."""
    next_index: int = 0
    """The index of the next frame; more than ``frames_done`` if damaged frames were left out."""


@dataclass(frozen=True)
class Clip(Mapping[str, Any]):
    """A clip: a folder of frames, with masks or without, or a video file.

    It also reads like an entry of a MONAI data list: ``clip["clip_id"]``, ``clip["label"]``, and either
    ``clip["image"]`` or ``clip["video"]``; ``clip.get("negative")`` is True for a negative clip, and
    ``clip.get("still")`` for a still.
    """

    clip_id: str
    """Its name, unique among the clips of a run; results are filed under it."""
    image: list[str] = field(default_factory=list)
    """The paths of its frames, in order; empty for a video."""
    label: list[str] | None = None
    """The paths of the frames' masks, or None if there are no masks."""
    mask_rule: MaskRule | None = None
    """Says which pixels of the masks are polyp; None finds it out for each mask alone."""
    video: str | None = None
    """The path of the video file, or None for a folder of frames."""
    negative: bool = False
    """Whether the clip is known to show no polyp: its masks are all black, and ``label`` is None."""
    still: bool = False
    """Whether the clip is one picture, over which a training moves a camera."""
    resume: ResumePoint = ResumePoint()
    """Where inference resumes the clip."""

    def __getitem__(self, key: str) -> Any:
        if key not in tuple(self):
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        yield from ("clip_id", "image" if self.video is None else "video", "label")
        if self.negative:
            yield "negative"
        if self.still:
            yield "still"

    def __len__(self) -> int:
        return len(tuple(iter(self)))


def check_clips(clips: Sequence[Clip], progress: bool = True) -> None:
    """Check every file of some clips before a long run starts, and report all problems at once.

    The check finds files that are missing, empty, truncated or of more than 8 bits per channel; frames of one clip that
    differ in size; masks of another size than their frame; and two frames of one clip whose names differ only in the
    suffix: they would share a mask and overwrite each other's results. Sizes are upright, by the EXIF orientation. It
    logs frames that are turned so.

    Args:
        clips: such as :func:`~lsinet_monai.data.read_split` or :func:`~lsinet_monai.data.find_clips` lists. Masks
            without a frame are ignored. Videos are skipped: their damage is found and reported when they are read.
        progress: show a progress bar on standard error.

    Raises:
        InputError: with the number of problems, and the first ten of them.
    """
    clips = [clip for clip in clips if clip.video is None]
    paths = [path for clip in clips for path in [*clip.image, *(clip.label or [])]]
    with ThreadPoolExecutor() as pool:
        results = pool.map(_facts_or_problem, paths)
        bar = tqdm(results, total=len(paths), desc="checking files", unit="file", disable=not progress or not paths)
        found = dict(zip(paths, bar, strict=True))
    _say_turned(clips, found)
    problems = [problem for clip in clips for problem in _problems_of(clip, found)]
    if problems:
        more = f"; and {len(problems) - _PROBLEMS_NAMED} more" if len(problems) > _PROBLEMS_NAMED else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{count} with the frames and masks: {'; '.join(problems[:_PROBLEMS_NAMED])}{more}")


def _facts_or_problem(path: str) -> ImageFacts | str:
    try:
        return check_image(path)
    except InputError as error:
        return str(error)


def _say_turned(clips: Sequence[Clip], found: dict[str, ImageFacts | str]) -> None:
    """Log frames that an EXIF orientation turns, but not their masks: a mask of the same size might not belong so."""
    pairs = [pair for clip in clips for pair in zip(clip.image, clip.label or (), strict=False)]
    turned = [frame for frame, mask in pairs if _is_turned(found[frame]) and not _is_turned(found[mask])]
    if turned:
        logger.warning(
            "%d frames are turned upright by their EXIF orientation, such as %s; their masks, which have none, are "
            "taken as drawn on the upright frames",
            len(turned), turned[0],
        )  # fmt: skip


def _is_turned(facts: ImageFacts | str) -> bool:
    return isinstance(facts, ImageFacts) and facts.is_turned


def _problems_of(clip: Clip, found: dict[str, ImageFacts | str]) -> Iterator[str]:
    stems: set[str] = set()
    clip_size = next((facts.size for frame in clip.image if isinstance(facts := found[frame], ImageFacts)), None)
    for at, frame in enumerate(clip.image):
        facts = found[frame]
        if isinstance(facts, str):
            yield facts
        elif facts.size != clip_size:
            yield f"{frame}: is {_text(facts)}, other frames of its clip {_text(clip_size)}; make them one size"
        stem = Path(frame).stem
        if stem in stems:
            yield f"{frame}: another frame of its clip has the same name with another suffix; rename one"
        stems.add(stem)
        if clip.label is None:
            continue
        mask = found[clip.label[at]]
        if isinstance(mask, str):
            yield mask
        elif isinstance(facts, ImageFacts) and mask.size != facts.size:
            yield f"{clip.label[at]}: the mask is {_text(mask)}, its frame {_text(facts)}; make them one size"
        elif _is_turned(mask) and not _is_turned(facts):
            yield (
                f"{clip.label[at]}: the mask has an EXIF orientation, and its frame has none; remove it from the mask, "
                "or save the mask as it lies on the frame"
            )


def _text(facts: ImageFacts | tuple[int, int] | None) -> str:
    if isinstance(facts, ImageFacts):
        return _text(facts.size) + " upright, by its EXIF orientation" * facts.is_turned
    return "x".join(map(str, facts or ()))


def describe_clips(clips: Sequence[Clip]) -> str:
    """Describe clips in one line: their number, the number of their frames, and letters that tell them from others.

    The letters are a digest of the clips' names and of their frames' file names, in order. They do not depend on the
    dataset's folder, and no file is opened.

    Args:
        clips: folders of frames.

    Returns:
        such as "3 with 9 frames, names 0a1b2c3d".
    """
    names = [[clip.clip_id, *(Path(frame).name for frame in clip.image)] for clip in clips]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    return f"{len(clips)} with {_count(clips)} frames, names {digest}"


def clip_extent(clip: Clip) -> tuple[int, int, int] | None:
    """Read a clip's size and length without decoding it.

    Args:
        clip: such as :func:`~lsinet_monai.data.find_inputs` lists.

    Returns:
        height, width and number of its frames; None for a video that cannot be read: its reader reports why.
    """
    if clip.video is None:
        return (*frame_size(clip.image[0]), len(clip.image))
    try:
        with open_video(clip.video) as video:
            return (*video.size, len(video))
    except InputError:
        return None


def patient_of(clip: Clip) -> str:
    """Name the patient of a clip: ``case7_1`` and ``case7_3`` are both ``case7``.

    Args:
        clip: a clip; its ``clip_id`` ends with the name of its case folder.

    Returns:
        ``case<number>``; or the whole ``clip_id`` if the folder has another name: the clip is then its own patient.
    """
    found = re.match("case([0-9]+)", clip.clip_id.rsplit("/", 1)[-1])
    return f"case{int(found[1])}" if found else clip.clip_id


def split_by_patient(clips: Sequence[Clip], fraction: float = 0.1, seed: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Hold out some patients for validation, with all of their clips, and log those clips.

    SUN-SEG has no validation split, and its test splits must not influence the training. Patients without a polyp are
    drawn separately: negative clips may be many, and would otherwise replace the clips that have a Dice. Stills are
    trained on where there are other clips, because validation is to measure videos; a set of stills alone is divided.

    Args:
        clips: the clips of ``TrainDataset``.
        fraction: the share of the frames to hold out, in [0, 1). Whole patients approach it: above 0, at least one
            patient with a polyp is held out and at least one is left to train on. A single patient is never held out.
            Of the patients who have only negative clips, the same share is held out.
        seed: chooses the patients.

    Returns:
        the training clips and the validation clips, each in the order of ``clips``.

    Raises:
        InputError: ``fraction`` is not in [0, 1).
    """
    check_numbers(validation_fraction=fraction)
    videos = [clip for clip in clips if not clip.still] or clips
    with_polyp = {patient_of(clip) for clip in videos if not clip.negative}
    frames, frames_without = Counter[str](), Counter[str]()
    for clip in videos:
        (frames if patient_of(clip) in with_polyp else frames_without)[patient_of(clip)] += len(clip.image)
    held_out: set[str] = set()
    if fraction > 0 and len(frames) > 1:
        held_out = _hold_out(frames, fraction, seed, at_least=1) | _hold_out(frames_without, fraction, seed, at_least=0)

    train_clips = [clip for clip in clips if patient_of(clip) not in held_out]
    val_clips = [clip for clip in clips if patient_of(clip) in held_out]
    logger.info(
        "%d of %d clips (%d of %d frames) held out for validation: %s",
        len(val_clips),
        len(clips),
        _count(val_clips),
        _count(clips),
        ", ".join(clip.clip_id for clip in val_clips) or "none",
    )
    return train_clips, val_clips


def _hold_out(frames: Counter[str], fraction: float, seed: int, at_least: int) -> set[str]:
    """Choose patients, never all of them, whose frames come as close to a share of all frames as whole patients can."""
    patients = sorted(frames, key=natural_key)
    random.Random(seed).shuffle(patients)
    held_out: set[str] = set()
    missing = fraction * frames.total()
    for patient in patients:
        if abs(missing - frames[patient]) < missing and len(held_out) < len(patients) - 1:
            held_out.add(patient)
            missing -= frames[patient]
    return held_out or set(sorted(patients, key=lambda patient: frames[patient])[:at_least])


def _count(clips: Sequence[Clip]) -> int:
    return sum(len(clip.image) for clip in clips)


def rank_clips(clips: Sequence[Clip], rank: int, world_size: int, repeat: bool = False) -> list[Clip]:
    """Choose the whole clips that one process runs, so that all processes have about as many frames left to do.

    Args:
        clips: the clips of all processes; videos are opened to count their frames.
        rank: the process, from 0.
        world_size: the number of processes.
        repeat: give a process that would have no clip one that another process has too, because every process must
            run something. :class:`~lsinet_monai.metrics.ClipDice` averages per clip first, so its mean stays the same.

    Returns:
        The clips of this process, in the order of ``clips``. Together the processes have all clips.
    """
    if world_size == 1:
        return list(clips)
    frames = [_frames_left(clip) for clip in clips]
    longest_first = sorted(range(len(clips)), key=lambda at: -frames[at])
    loads = [0] * world_size
    mine = []
    for at in longest_first:
        least = loads.index(min(loads))
        loads[least] += frames[at]
        if least == rank:
            mine.append(at)
    if repeat and clips and not mine:
        mine = [longest_first[rank % len(clips)]]
    return [clips[at] for at in sorted(mine)]


def _frames_left(clip: Clip) -> int:
    if clip.video is None:
        return len(clip.image) - clip.resume.frames_done
    extent = clip_extent(clip)
    return extent[2] - clip.resume.frames_done if extent else 0
