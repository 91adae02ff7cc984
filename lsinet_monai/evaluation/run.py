"""Scores of maps on disk: any method's, in SUN-SEG's layout or in a lone folder, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lsinet_monai.data.frames import FRAME_SUFFIXES, frame_size, read_map, read_mask
from lsinet_monai.data.sun_seg import SPLITS, find_clips, natural_key
from lsinet_monai.errors import InputError
from lsinet_monai.metrics.benchmark import too_short_notice
from lsinet_monai.metrics.clip_scores import ClipResult, ClipScorer, split_scores
from lsinet_monai.utils.extras import require_extra

__all__ = ["Evaluation", "MapProblems", "TruthClip", "score_folders", "truth_clips"]

_LONE_SPLIT = "all"
_NEGATIVE_SPLIT = "negative"
_PROBLEMS_NAMED = 10


class MapProblems(InputError):
    """Maps are missing, damaged or of another size than their masks, or masks are damaged; nothing was scored.

    Args:
        problems: each in a line.
        notices: what else was found, such as maps without truth: a map that is missing may be there by another name.
    """

    def __init__(self, problems: Sequence[str], notices: Sequence[str] = ()) -> None:
        self.problems = list(problems)
        self.notices = list(notices)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = f"; and {len(problems) - _PROBLEMS_NAMED} more" if len(problems) > _PROBLEMS_NAMED else ""
        super().__init__(f"{count} with the maps: {'; '.join(problems[:_PROBLEMS_NAMED])}{more}")


Key = tuple[str, str]
"""A clip's split and case."""


@dataclass(frozen=True)
class TruthClip:
    """A clip of which the truth is known."""

    split: str
    case: str
    names: tuple[str, ...]
    """The frames' names, without suffix, in order."""
    masks: tuple[Path, ...] | None
    """The true masks; None for a negative clip, whose masks are all black."""
    frames: Mapping[str, Path]
    """The frames themselves by name, as far as they lie beside the masks; for pictures."""

    @property
    def key(self) -> Key:
        """The clip's split and case."""
        return self.split, self.case

    def mask(self, index: int) -> np.ndarray:
        """The true mask of a frame: bool, (H, W)."""
        if self.masks is None:
            return np.zeros(frame_size(self.frames[self.names[index]]), bool)
        return read_mask(self.masks[index])


@dataclass(frozen=True)
class Evaluation:
    """What :func:`score_folders` found."""

    results: dict[str, dict[str, dict[str, ClipResult]]]
    """By method, split and case. A method is absent from a split of which it has no maps."""
    clips: dict[Key, TruthClip]
    maps: dict[str, dict[Key, list[Path | None]]]
    """The maps of each method and clip, in the frames' order; None where there is none."""
    notices: list[str]
    """What a reader of the scores should know: maps without truth, splits without maps, and the like."""

    def scores(self, frames_per_second: float = 30.0) -> dict[str, dict[str, Any]]:
        """The scores, ``{method: {split: {"dataset": {...}, "cases": {...}}}}``, as ``scores.json`` holds them.

        Args:
            frames_per_second: the clips' pace, for the false positives per minute.
        """
        return {
            method: {split: split_scores(clips, frames_per_second) for split, clips in splits.items()}
            for method, splits in self.results.items()
        }


def score_folders(
    predictions: Mapping[str, str | os.PathLike[str]],
    truth: str | os.PathLike[str],
    negative_dir: str | os.PathLike[str] | None = None,
    threshold: float = 0.5,
    min_area: float = 0.001,
    processes: int | None = None,
    progress: bool = True,
) -> Evaluation:
    """Score the maps of one or several methods, a clip at a time on every core.

    Memory does not grow with the number of frames. A clip's first and last frame, which the benchmark leaves out, may
    lack a map, and are then in no score; any other frame may not.

    Args:
        predictions: by a method's name the folder of its maps, 8-bit images: ``<split>/<case>/<frame>.png`` where the
            truth has splits, ``<case>/<frame>.png`` where it is a lone folder.
        truth: a dataset in SUN-SEG's layout, whose test splits are scored, and ``TrainDataset`` if there are maps of
            it; or one ``GT`` folder of case folders, or the folder that holds it, which is the split ``all``.
        negative_dir: case folders of frames that show no polyp, the split ``negative``; their maps lie in
            ``negative/<case>``, or in ``<case>`` where the truth is a lone folder.
        threshold: for the clinical scores, a pixel is predicted polyp where its map / 255 is above this, in [0, 1].
        min_area: a frame has a polyp where more than this fraction of it is.
        processes: how many work side by side; by default one for every core that this process may use.
        progress: show a progress bar on standard error.

    Returns:
        the results of every clip.

    Raises:
        MapProblems: maps are missing, damaged, or of another size than their masks; every one is named.
        InputError: a folder is missing or empty, a split has no truth, or a mask cannot be read.
    """
    require_extra("py_sod_metrics", "metrics")
    clips = truth_clips(predictions, truth, negative_dir)
    maps: dict[str, dict[Key, list[Path | None]]] = {}
    problems: list[str] = []
    notices: list[str] = []
    for method, folder in predictions.items():
        maps[method] = _find_maps(method, Path(folder), clips, problems, notices)
    scored = {key for found in maps.values() for key in found}
    notices += [
        f"no maps of {split}: it is not scored"
        for split in dict.fromkeys(clip.split for clip in clips)
        if split not in {split for split, _ in scored}
    ]

    tasks = [
        _Task(method, clip, maps[method][clip.key], threshold, min_area, only_read=bool(problems))
        for clip in clips
        for method in predictions
        if clip.key in maps[method]
    ]
    done: dict[tuple[str, Key], _Done] = {}
    for finished in _run(tasks, processes, progress):
        done[finished.method, finished.key] = finished
        problems += finished.problems
    if problems:
        # A damaged mask is a problem of every method.
        raise MapProblems(sorted(set(problems), key=natural_key), notices)

    results: dict[str, dict[str, dict[str, ClipResult]]] = {method: {} for method in predictions}
    for task in tasks:
        result = done[task.method, task.clip.key].result
        results[task.method].setdefault(task.clip.split, {})[task.clip.case] = result
    notices += _notices(tasks, list(done.values()))
    return Evaluation(results, {clip.key: clip for clip in clips}, maps, notices)


def truth_clips(
    predictions: Mapping[str, str | os.PathLike[str]],
    truth: str | os.PathLike[str],
    negative_dir: str | os.PathLike[str] | None = None,
) -> list[TruthClip]:
    """Find the clips that :func:`score_folders`, which says what the arguments are, scores the maps of.

    Raises:
        InputError: a folder is missing or empty, or a split has no truth.
    """
    clips = _find_truth(Path(truth), {name: Path(folder) for name, folder in predictions.items()})
    if negative_dir is not None:
        clips += _find_negative(Path(negative_dir))
    return clips


def _cases(folder: Path, what: str) -> dict[str, list[Path]]:
    """The images of each folder below one, by its relative path; the folder's own are the case ``""``."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of {what}")
    try:
        found = find_clips(folder)
    except InputError as error:
        raise InputError(
            f"{folder}: holds no {what} ({', '.join(FRAME_SUFFIXES)}), nor do the folders in it"
        ) from error
    cases = {}
    for clip in found:
        images = [Path(image) for image in clip["image"]]
        cases["" if images[0].parent == folder else str(clip["clip_id"])] = images
    return cases


def _find_truth(root: Path, predictions: Mapping[str, Path]) -> list[TruthClip]:
    if not root.is_dir():
        raise InputError(f"truth {root}: no such folder; give a dataset in SUN-SEG's layout, or a GT folder")
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if not splits:
        gt = root / "GT" if (root / "GT").is_dir() else root
        return _read_truth(gt, gt.parent / "Frame" if gt.name == "GT" else None, _LONE_SPLIT)
    for method, folder in predictions.items():
        for split in SPLITS:
            if (folder / split).is_dir() and split not in splits:
                raise InputError(
                    f"{method}: {folder / split} has maps of a split without truth: there is no {root / split / 'GT'}"
                )
    # Nobody asks for the training split's scores but who has maps of it.
    is_wanted = {split: any((folder / split).is_dir() for folder in predictions.values()) for split in splits}
    wanted = [split for split in splits if split != SPLITS[0] or is_wanted[split]]
    if not wanted:
        raise InputError(
            f"truth {root}: holds no test split ({', '.join(SPLITS[1:])}), and there are no maps of {splits[0]}"
        )
    return [clip for split in wanted for clip in _read_truth(root / split / "GT", root / split / "Frame", split)]


def _read_truth(gt: Path, frame_folder: Path | None, split: str) -> list[TruthClip]:
    if not gt.is_dir():
        raise InputError(f"{split} has no truth: {gt} is not there; add its masks, or remove {gt.parent}")
    cases = _cases(gt, "masks")
    stray = next((case for case in cases if {"Frame", "GT"} & set(cases[case][0].relative_to(gt).parts)), None)
    if stray is not None:
        raise InputError(
            f"truth {gt}: holds more than masks ({cases[stray][0]}); give a dataset in SUN-SEG's layout, or a GT folder"
        )
    clips = []
    for case, masks in cases.items():
        folder = None if frame_folder is None else frame_folder / case
        beside = folder.iterdir() if folder is not None and folder.is_dir() else ()
        frames = {path.stem: path for path in beside if path.suffix.lower() in FRAME_SUFFIXES}
        names = tuple(mask.stem for mask in masks)
        clips.append(TruthClip(split, case or gt.resolve().name, names, tuple(masks), frames))
    return clips


def _find_negative(folder: Path) -> list[TruthClip]:
    clips = []
    for case, paths in _cases(folder, "frames").items():
        frames = {path.stem: path for path in paths}
        clips.append(TruthClip(_NEGATIVE_SPLIT, case or folder.resolve().name, tuple(frames), None, frames))
    return clips


def _find_maps(
    method: str, root: Path, clips: Sequence[TruthClip], problems: list[str], notices: list[str]
) -> dict[Key, list[Path | None]]:
    """Find a method's maps of the clips; what is wrong is added to the problems and the notices."""
    if not root.is_dir():
        raise InputError(f"{method}: {root}: no such folder; give a folder of maps")
    splits = list(dict.fromkeys(clip.split for clip in clips))
    is_lone = _LONE_SPLIT in splits
    folders = {split: root if is_lone else root / split for split in splits}
    present = [split for split in splits if folders[split].is_dir()]
    if not present:
        expected = root / splits[0] / clips[0].case / f"{clips[0].names[0]}.png"
        raise InputError(
            f"{method}: {root}: holds no maps where the truth has its splits, such as {expected}; to score a lone "
            "folder of maps, give the GT folder of its split as truth"
        )
    cases = {split: _cases(folders[split], "maps") for split in present}
    found: dict[Key, list[Path | None]] = {}
    used: set[tuple[Path, str]] = set()
    for clip in clips:
        if clip.split not in present:
            continue
        in_split = cases[clip.split]
        # A lone folder of images may stand for the one clip of the truth, whatever it is called.
        case = "" if "" in in_split and is_lone and len(clips) == 1 else clip.case
        used.add((folders[clip.split], case))
        by_name: dict[str, Path] = {}
        for path in in_split.get(case, []):
            if path.stem in by_name:
                problems.append(f"{path}: {by_name[path.stem].name} is a map of the same frame; remove one")
            by_name.setdefault(path.stem, path)
        found[clip.key] = [by_name.get(name) for name in clip.names]
        expected_folder = folders[clip.split] / case
        problems += _missing(method, clip, by_name, expected_folder)
        if clip.names[0] not in by_name or clip.names[-1] not in by_name:
            notices.append(f"{method}: no map of the first or last frame of {expected_folder}: it is in no score")
        notices += [f"{by_name[name]}: has no truth, and is not scored" for name in by_name.keys() - set(clip.names)]
    for split in present:
        strays = [images for case, images in cases[split].items() if (folders[split], case) not in used]
        notices += [f"{image}: has no truth, and is not scored" for image in chain(*strays)]
    return found


def _missing(method: str, clip: TruthClip, by_name: Mapping[str, Path], folder: Path) -> Iterator[str]:
    if not by_name:
        yield f"{method}: {folder} has no maps; the truth has {len(clip.names)} frames of it"
        return
    inner = clip.names if len(clip.names) < 3 else clip.names[1:-1]
    for name in inner:
        if name not in by_name:
            yield f"{method}: {folder / name}.png is missing"


@dataclass(frozen=True)
class _Task:
    method: str
    clip: TruthClip
    maps: list[Path | None]
    threshold: float
    min_area: float
    only_read: bool
    """Whether there will be no scores, so that what is left is to find what cannot be read."""


@dataclass(frozen=True)
class _Done:
    method: str
    key: Key
    frames: int
    result: ClipResult
    problems: list[str]
    full_range_frames: int
    """Maps that reach from 0 to 255, as all do that were stretched."""


def _score_clip(task: _Task) -> _Done:
    # The benchmark, which gives a frame without a polyp a Dice of 0 whatever is predicted, has no negative clips.
    scorer = ClipScorer(task.threshold, task.min_area, benchmark=task.clip.masks is not None)
    problems, full_range_frames = [], 0
    last = len(task.maps) - 1
    for index, path in enumerate(task.maps):
        if path is None:
            continue
        try:
            map_, mask = read_map(path), task.clip.mask(index)
        except InputError as error:
            problems.append(str(error))
            continue
        if map_.shape != mask.shape:
            sizes = " but its mask is ".join("x".join(map(str, image.shape)) for image in (map_, mask))
            problems.append(f"{path}: is {sizes}; make them one size")
        if not problems and not task.only_read:
            scorer.add(index, index == last, map_, mask, map_.astype(np.float32) / 255)
            full_range_frames += int(map_.min() == 0 and map_.max() == 255)
    return _Done(task.method, task.clip.key, len(task.maps), scorer.result(), problems, full_range_frames)


def _run(tasks: Sequence[_Task], processes: int | None, progress: bool) -> Iterator[_Done]:
    """Score clips side by side, the longest first so that none is left alone at the end."""
    if processes is None:
        processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(processes, len(tasks))
    ordered = sorted(tasks, key=lambda task: -len(task.maps))
    interval = 0.5 if sys.stderr.isatty() else 15.0
    total = sum(len(task.maps) for task in tasks)
    with tqdm(total=total, desc="scoring", unit="frame", mininterval=interval, disable=not progress) as bar:
        for done in map(_score_clip, ordered) if processes == 1 else _run_in_pool(ordered, processes):
            bar.update(done.frames)
            yield done


def _run_in_pool(tasks: Sequence[_Task], processes: int) -> Iterator[_Done]:
    # As PyTorch's data loaders do: where forking is safe, nothing need be imported anew.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    # One thread each: more would fight over the cores, and a fork has none of its parent's.
    with ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool:
        futures = [pool.submit(_score_clip, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _notices(tasks: Sequence[_Task], done: Sequence[_Done]) -> list[str]:
    notices = []
    by_method = {task.method: [each for each in done if each.method == task.method] for task in tasks}
    negative = max(
        sum(each.result.clinical.negative_frames for each in results if each.result.measures is not None)
        for results in by_method.values()
    )
    if negative:
        frames = "1 frame shows" if negative == 1 else f"{negative} frames show"
        notices.append(
            f"{frames} no polyp: where the benchmark scores them, it gives them a Dice, IoU, F-measure and sensitivity "
            "of 0 whatever is predicted; their false positives are counted beside it"
        )
    short = {"/".join(each.key) for each in done if each.key[0] != _NEGATIVE_SPLIT and each.result.measures is None}
    if short:
        notices.append(too_short_notice(short))
    for method, results in by_method.items():
        has_negative = any(each.result.clinical.negative_frames for each in results)
        if has_negative and all(each.full_range_frames == each.result.clinical.frames for each in results):
            notices.append(
                f"{method}: every map reaches from 0 to 255, also where there is no polyp: they look stretched frame "
                "by frame, and then say nothing of false positives and fixed thresholds"
            )
    return notices
