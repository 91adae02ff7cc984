"""The command ``evaluate``: scores folders of maps, and writes all results that a paper or a reader needs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write
from lsinet_monai.writers import prepare_output_dir

from .html import html_report
from .maps import MapProblems
from .pictures import write_side_by_side
from .run import score_folders
from .tables import latex_rows, read_published, score_table, write_clip_table
from .truth import TruthClip, truth_clips

__all__ = ["evaluate", "name_predictions"]

_NOTICES_PRINTED = 10
_PROBLEMS = "problems.txt"
_FILES = ("scores.json", "clips.csv", "table.tex", "report.html", "notices.txt", _PROBLEMS)


def name_predictions(texts: Sequence[str]) -> dict[str, Path]:
    """Read the methods from the command line: ``[NAME=]DIR`` each.

    Args:
        texts: the arguments. Without NAME, the method is called ``predictions`` if it is the only one, otherwise after
            its folder.

    Returns:
        The folders by method.

    Raises:
        InputError: two methods have the same name.
    """
    methods: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or Path(text).is_dir():
            name, folder = Path(text).resolve().name if len(texts) > 1 else "predictions", text
        if name in methods:
            raise InputError(f"--predictions {text}: another method is called {name!r}; give NAME=DIR")
        methods[name] = Path(os.path.expanduser(folder))
    return methods


def evaluate(
    predictions: Mapping[str, str | os.PathLike[str]],
    truth: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    negative_dir: str | os.PathLike[str] | None = None,
    threshold: float = 0.5,
    frames_per_second: float = 30.0,
    published: str | os.PathLike[str] | None = None,
    gifs: Sequence[str] = (),
    processes: int | None = None,
    overwrite: bool = False,
    mask_values: Any = None,
) -> dict[str, dict[str, Any]]:
    """Score maps, print the table, and write:

    =====================  ========================================================================================
    ``scores.json``        ``{method: {split: {"dataset": {...}, "cases": {...}}}}``
    ``clips.csv``          all scores of every clip
    ``table.tex``          LaTeX rows
    ``report.html``        tables, curves, bars and the worst frames, in one file
    ``gifs/<clip>.gif``    truth and methods side by side, for the requested clips
    ``notices.txt``        hints for reading the scores, such as maps without truth; only if there are any
    =====================  ========================================================================================

    Args:
        predictions: the folder of maps by method (:func:`lsinet_monai.evaluation.score_folders`).
        truth: a dataset in SUN-SEG's layout, or a GT folder.
        output_dir: the folder to write to.
        negative_dir: case folders of frames without a polyp.
        threshold: for the clinical scores, in [0, 1].
        frames_per_second: the clips' frame rate.
        published: a CSV file of published results for the report (:func:`lsinet_monai.evaluation.read_published`).
        gifs: clips to show as GIFs: ``<split>/<case>``, or ``<case>`` alone.
        processes: how many processes to use; by default one for every core.
        overwrite: accept an output folder that already holds files. An earlier run's files from the table above are
            replaced or removed; GIFs of other clips stay.
        mask_values: which values of the true masks are polyp, such as ``1`` or ``1,2``; None finds it out, see
            :func:`lsinet_monai.data.find_mask_rule`.

    Returns:
        The content of ``scores.json``.

    Raises:
        InputError: an argument or a folder cannot be used; or maps are missing, damaged or of the wrong size. Then
            nothing is scored, and ``problems.txt`` lists all of them, followed by the notices.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold {threshold} must be from 0 to 1")
    if not 0 < frames_per_second < math.inf:
        raise InputError(f"frames per second {frames_per_second} must be above 0 and finite")
    if processes is not None and processes < 1:
        raise InputError(f"processes {processes} must be 1 or more")
    for module in ("matplotlib", "jinja2"):
        require_extra(module, "metrics")
    papers = () if published is None else read_published(published)
    clips = truth_clips(predictions, truth, negative_dir) if gifs else []
    chosen = [_find_clip(clips, text) for text in gifs]
    output = Path(output_dir)
    # A folder that holds only problems.txt is from a failed run, and this run may be the next attempt.
    is_retry = output.is_dir() and [path.name for path in output.iterdir()] == [_PROBLEMS]
    prepare_output_dir(output, overwrite or is_retry)
    try:
        evaluation = score_folders(
            predictions, truth, negative_dir, threshold, processes=processes, mask_values=mask_values
        )
    except MapProblems as error:
        _remove_results(output)
        _write(output / _PROBLEMS, "\n".join([*error.problems, *error.notices]) + "\n")
        raise InputError(f"{error}. See {output / _PROBLEMS}") from error

    _remove_results(output)
    scores = evaluation.scores(frames_per_second)
    print(score_table(scores))
    for split, rule in evaluation.truth_rules.items():
        print(f"truth of {split}: {rule}")
    _write(output / "scores.json", json.dumps(scores, indent=2) + "\n")
    _write(output / "table.tex", latex_rows(scores))
    write_clip_table(output / "clips.csv", scores)
    _write(output / "report.html", html_report(evaluation, frames_per_second, papers))
    for split, case in chosen:
        write_side_by_side(output / "gifs" / split / f"{case}.gif", evaluation, split, case, frames_per_second)
    _print_notices(evaluation.notices, output)
    print(f"report: {output / 'report.html'}")
    return scores


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _remove_results(output: Path) -> None:
    """Remove the files of an earlier run, which would look like results of this one."""
    for name in _FILES:
        (output / name).unlink(missing_ok=True)


def _find_clip(clips: Sequence[TruthClip], text: str) -> tuple[str, str]:
    keys = [clip.key for clip in clips]
    found = [key for key in keys if text in (key[1], "/".join(key))]
    if len(found) != 1:
        some = ", ".join("/".join(key) for key in (found or keys)[:5])
        raise InputError(
            f"clip {text!r}: {'several clips have' if found else 'no clip has'} this name; choose from {some}"
        )
    return found[0]


def _print_notices(notices: Sequence[str], output: Path) -> None:
    if not notices:
        return
    _write(output / "notices.txt", "\n".join(notices) + "\n")
    print()
    for notice in notices[:_NOTICES_PRINTED]:
        print(f"note: {notice}")
    if len(notices) > _NOTICES_PRINTED:
        print(f"note: and {len(notices) - _NOTICES_PRINTED} more, in {output / 'notices.txt'}")
