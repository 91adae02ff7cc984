"""Scores the maps of one or several methods, clip by clip, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lsinet_monai.data import MaskRule, natural_key
from lsinet_monai.data.mask_files import find_map_rule
from lsinet_monai.errors import InputError
from lsinet_monai.metrics.benchmark import too_short_notice
from lsinet_monai.metrics.clip_scores import ClipResult, ClipScorer, split_scores
from lsinet_monai.utils.cores import available_cores
from lsinet_monai.utils.extras import require_extra

from .maps import MapError, MapProblems, find_maps, read_map_and_mask
from .truth import NEGATIVE_SPLIT, Key, TruthClip, truth_clips, with_mask_rules

__all__ = ["Evaluation", "score_folders"]

# The highest level of a stretched map: the released program saves some as 254 (lsinet_monai.metrics.released_map).
_STRETCHED_TO = 254


@dataclass(frozen=True)
class Evaluation:
    """The results of :func:`score_folders`."""

    results: dict[str, dict[str, dict[str, ClipResult]]]
    """By method, split and case. A method has no entry for a split without its maps."""
    clips: dict[Key, TruthClip]
    maps: dict[str, dict[Key, list[Path | None]]]
    """The maps of each method and clip, in the frames' order; None for a frame without a map."""
    map_rules: dict[str, MaskRule | None]
    """How the maps of each method are read: None for probabilities, a rule for masks."""
    truth_rules: dict[str, MaskRule]
    """How the true masks of each split are read."""
    notices: list[str]
    """Hints for reading the scores: maps without truth, splits without maps, and the like."""

    def scores(self, frames_per_second: float = 30.0) -> dict[str, dict[str, Any]]:
        """Return the content of ``scores.json``: ``{method: {split: {"dataset": {...}, "cases": {...}}}}``.

        Args:
            frames_per_second: the clips' frame rate, for the false positives per minute.
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
    mask_values: Any = None,
) -> Evaluation:
    """Score the maps of one or several methods, one clip per process at a time.

    Memory does not grow with the number of frames. The benchmark leaves out a clip's first and last frame, so these
    two may lack a map, and no score then counts them. Every other frame needs a map.

    Args:
        predictions: the folder of 8-bit maps by method: ``<split>/<case>/<frame>.png`` if the truth has splits,
            ``<case>/<frame>.png`` if it is a lone folder.
        truth: a dataset in SUN-SEG's layout, or a lone ``GT`` folder of case folders, or the folder that holds one. A
            dataset's test splits are scored, and ``TrainDataset`` if there are maps of it; a lone folder is the split
            ``all``.
        negative_dir: case folders of frames without a polyp, the split ``negative``. Their maps lie in
            ``negative/<case>``, or in ``<case>`` if the truth is a lone folder.
        threshold: for the clinical scores, a pixel is predicted as polyp if its map / 255 is above this, in [0, 1].
        min_area: a frame has a polyp if its mask covers more than this fraction of it, in [0, 1].
        processes: how many processes to use; by default one for every core available to this process.
        progress: show a progress bar on standard error.
        mask_values: which pixels of the true masks are polyp; None finds it out, see
            :func:`~lsinet_monai.data.find_mask_rule`.

    Returns:
        The results of every clip.

    Raises:
        MapProblems: maps are missing, damaged, or of another size than their masks; it names every one.
        InputError: a folder is missing or empty, a split has no truth, a mask cannot be read, or it is not clear
            what is polyp in the masks.
    """
    require_extra("py_sod_metrics", "metrics")
    clips = with_mask_rules(truth_clips(predictions, truth, negative_dir), mask_values)
    found = {method: find_maps(method, Path(folder), clips) for method, folder in predictions.items()}
    maps = {method: of_method.maps for method, of_method in found.items()}
    problems = [problem for of_method in found.values() for problem in of_method.problems]
    notices = [notice for of_method in found.values() for notice in of_method.notices]
    map_rules = {
        method: find_map_rule([path for of_clip in of_method.values() for path in of_clip if path], method)
        for method, of_method in maps.items()
    }
    notices += [
        f"{method}: the maps are masks, not probabilities: {rule}" for method, rule in map_rules.items() if rule
    ]
    splits_of = {method: {split for split, _ in of_method} for method, of_method in maps.items()}
    scored_splits = set().union(*splits_of.values())
    notices += [
        f"{method}: no maps of {split}: it is not scored"
        for split in dict.fromkeys(clip.split for clip in clips)
        for method in predictions
        if split not in splits_of[method]
    ]

    tasks = [
        _Task(method, clip, maps[method][clip.key], map_rules[method], threshold, min_area, bool(problems))
        for clip in clips
        for method in predictions
        if clip.key in maps[method]
    ]
    done: dict[tuple[str, Key], _Done] = {}
    for finished in _run(tasks, processes, progress):
        done[finished.method, finished.key] = finished
        problems += finished.problems
    if problems:
        # Every method reports the same damaged mask.
        raise MapProblems(sorted(set(problems), key=natural_key), notices)

    results: dict[str, dict[str, dict[str, ClipResult]]] = {method: {} for method in predictions}
    for task in tasks:
        result = done[task.method, task.clip.key].result
        results[task.method].setdefault(task.clip.split, {})[task.clip.case] = result
    notices += _notices(tasks, list(done.values()))
    truth_rules = {clip.split: clip.rule for clip in clips if clip.rule and clip.split in scored_splits}
    return Evaluation(results, {clip.key: clip for clip in clips}, maps, map_rules, truth_rules, notices)


@dataclass(frozen=True)
class _Task:
    method: str
    clip: TruthClip
    maps: list[Path | None]
    rule: MaskRule | None
    threshold: float
    min_area: float
    only_read: bool
    """Only look for files that cannot be read: problems are known already, so nothing will be scored."""


@dataclass(frozen=True)
class _Done:
    method: str
    key: Key
    frames: int
    result: ClipResult
    problems: list[str]
    full_range_frames: int
    """Maps that use the full range, as every stretched map does."""
    levels: frozenset[int]
    """The values of all maps, in [0, 255]."""
    error: MapError

    @property
    def brightest(self) -> int:
        """The highest value of all maps; 0 if there are none."""
        return max(self.levels, default=0)


def _score_clip(task: _Task) -> _Done:
    # The benchmark would give every frame of a negative clip a Dice of 0.
    scorer = ClipScorer(task.threshold, task.min_area, benchmark=task.clip.masks is not None)
    problems, full_range_frames, levels, error = [], 0, set[int](), MapError()
    last = len(task.maps) - 1
    for index, path in enumerate(task.maps):
        if path is None:
            continue
        try:
            map_, mask = read_map_and_mask(path, task.clip, index, task.rule)
        except InputError as problem:
            problems.append(str(problem))
            continue
        if not problems and not task.only_read:
            scorer.add(index, index == last, map_, mask, map_.astype(np.float32) / 255)
            full_range_frames += int(map_.min() == 0 and map_.max() >= _STRETCHED_TO)
            levels |= set(np.flatnonzero(np.bincount(map_.ravel())).tolist())  # np.unique would sort
            error.add(map_, mask)
    return _Done(
        task.method,
        task.clip.key,
        len(task.maps),
        scorer.result(),
        problems,
        full_range_frames,
        frozenset(levels),
        error,
    )


def _run(tasks: Sequence[_Task], processes: int | None, progress: bool) -> Iterator[_Done]:
    """Score clips in parallel, the longest first, so that no process is left alone with a long one at the end."""
    if processes is None:
        processes = available_cores()
    processes = min(processes, len(tasks))
    ordered = sorted(tasks, key=lambda task: -len(task.maps))
    interval = 0.5 if sys.stderr.isatty() else 15.0
    total = sum(len(task.maps) for task in tasks)
    with tqdm(total=total, desc="scoring", unit="frame", mininterval=interval, disable=not progress) as bar:
        for done in map(_score_clip, ordered) if processes == 1 else _run_in_pool(ordered, processes):
            bar.update(done.frames)
            yield done


def _run_in_pool(tasks: Sequence[_Task], processes: int) -> Iterator[_Done]:
    # As in PyTorch's data loaders: fork where it is safe, which saves importing everything again.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    # One thread per process: more would compete for the cores, and a fork does not inherit its parent's threads.
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
            f"{frames} no polyp: the benchmark gives such frames a Dice, IoU, F-measure and sensitivity of 0 for any "
            "prediction; the clinical scores count their false positives"
        )
    short = {"/".join(each.key) for each in done if each.key[0] != NEGATIVE_SPLIT and each.result.measures is None}
    if short:
        notices.append(too_short_notice(short))
    for method, results in by_method.items():
        brightest = max(each.brightest for each in results)
        if 0 < brightest <= 255 * tasks[0].threshold:
            notices.append(
                f"{method}: no map is brighter than {brightest} of 255, so no pixel is above the threshold; are these "
                "probabilities from 0 to 255?"
            )
        else:
            notices += [
                f"{method}: {'/'.join(filter(None, each.key))}: its maps hold only 0 and {each.brightest}, those of "
                "other clips more; they are scored as probabilities: if they are masks, save them as 0 and 255"
                for each in results
                if len(each.levels - {0}) == 1 and each.brightest <= 255 * tasks[0].threshold
            ]
        notices += [
            f"{method}: {'/'.join(filter(None, each.key))}: its maps agree far better with the truth if inverted (mean "
            f"error {1 - each.error.mean:.3f} in place of {each.error.mean:.3f}); they are scored as they are: if "
            "polyps are dark in them, save 255 minus each pixel"
            for each in sorted(results, key=lambda each: natural_key("/".join(each.key)))
            if each.error.is_inverted
        ]
        has_negative = any(each.result.clinical.negative_frames for each in results)
        if has_negative and all(each.full_range_frames == each.result.clinical.frames for each in results):
            notices.append(
                f"{method}: every map reaches from 0 to {_STRETCHED_TO} or 255, even without a polyp: the maps look "
                "stretched frame by frame, so false positives and scores at a fixed threshold mean nothing"
            )
    return notices
