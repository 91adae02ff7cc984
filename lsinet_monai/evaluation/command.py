"""The command ``evaluate``: scores of folders of maps, with everything that a paper or a reader wants of them."""

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
from .pictures import write_side_by_side
from .run import MapProblems, TruthClip, score_folders, truth_clips
from .tables import latex_rows, read_published, score_table, write_clip_table

__all__ = ["evaluate", "name_predictions"]

_NOTICES_PRINTED = 10
_PROBLEMS = "problems.txt"
_FILES = ("scores.json", "clips.csv", "table.tex", "report.html", "notices.txt", _PROBLEMS)


def name_predictions(texts: Sequence[str]) -> dict[str, Path]:
    """Read what the command line says of the methods: ``[NAME=]DIR`` each.

    Args:
        texts: the arguments. Without a name a lone folder is the method ``predictions``, and one of several is called
            by its folder's name.

    Returns:
        the folders by method.

    Raises:
        InputError: two methods have one name.
    """
    methods: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or Path(text).is_dir():
            name, folder = Path(text).resolve().name if len(texts) > 1 else "predictions", text
        if name in methods:
            raise InputError(f"--predictions {text}: there is another method {name!r}; name it, as in NAME=DIR")
        methods[name] = Path(folder)
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
) -> dict[str, dict[str, Any]]:
    """Score maps, print the table, and write:

    =====================  ========================================================================================
    ``scores.json``        ``{method: {split: {"dataset": {...}, "cases": {...}}}}``
    ``clips.csv``          all scores of every clip
    ``table.tex``          LaTeX rows
    ``report.html``        tables, curves, bars and the worst frames, in one file
    ``gifs/<clip>.gif``    truth and methods side by side, of the clips that were asked for
    ``notices.txt``        what else there is to know, such as maps without truth; only if there is something
    =====================  ========================================================================================

    Args:
        predictions: by a method's name the folder of its maps (:func:`lsinet_monai.evaluation.score_folders`).
        truth: a dataset in SUN-SEG's layout, or a GT folder.
        output_dir: the folder to write to.
        negative_dir: case folders of frames that show no polyp.
        threshold: for the clinical scores, in [0, 1].
        frames_per_second: the clips' pace.
        published: a CSV file of published results (:func:`lsinet_monai.evaluation.read_published`) for the report.
        gifs: clips to write GIFs of: ``<split>/<case>``, or ``<case>`` alone.
        processes: how many work side by side; by default one for every core.
        overwrite: take an output folder that holds files already. Of those above, the ones that an earlier run wrote
            are replaced or removed, but GIFs of other clips stay.

    Returns:
        what ``scores.json`` holds.

    Raises:
        InputError: the input cannot be used. Where maps are missing, damaged or mis-sized, nothing is scored, and
            ``problems.txt`` names them all, and then what there is to know besides.
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
    # Problems alone are what a run left behind that is tried again, now that they are mended.
    is_retry = output.is_dir() and [path.name for path in output.iterdir()] == [_PROBLEMS]
    prepare_output_dir(output, overwrite or is_retry)
    try:
        evaluation = score_folders(predictions, truth, negative_dir, threshold, processes=processes)
    except MapProblems as error:
        _remove_results(output)
        _write(output / _PROBLEMS, "\n".join([*error.problems, *error.notices]) + "\n")
        raise InputError(f"{error}. See {output / _PROBLEMS}") from error

    _remove_results(output)
    scores = evaluation.scores(frames_per_second)
    print(score_table(scores))
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
    """Remove what an earlier run wrote, so that no file of it is taken for one of this run."""
    for name in _FILES:
        (output / name).unlink(missing_ok=True)


def _find_clip(clips: Sequence[TruthClip], text: str) -> tuple[str, str]:
    keys = [clip.key for clip in clips]
    found = [key for key in keys if text in (key[1], "/".join(key))]
    if len(found) != 1:
        some = ", ".join("/".join(key) for key in (found or keys)[:5])
        raise InputError(f"clip {text!r}: {'more than one is' if found else 'none is'} called so; there are {some}")
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
