"""Scores as tables: for a terminal, as LaTeX rows and as CSV; and published results to compare with."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsinet_monai.data.sun_seg import SPLITS
from lsinet_monai.errors import InputError
from lsinet_monai.metrics import BENCHMARK_SCORES
from lsinet_monai.utils.files import atomic_write

__all__ = [
    "BENCHMARK_COLUMNS",
    "PublishedResult",
    "clinical_columns",
    "latex_rows",
    "read_published",
    "score_table",
    "show",
    "write_clip_table",
]

AllScores = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``{method: {split: {"dataset": {...}, "cases": {...}}}}``, the content of ``scores.json``."""

BENCHMARK_COLUMNS = {
    "Smeasure": "S",
    "meanEm": "E mean",
    "wFmeasure": "wF",
    "meanFm": "F mean",
    "meanDice": "Dice mean",
    "maxDice": "Dice max",
    "meanIoU": "IoU mean",
    "meanSen": "Sen mean",
    "meanSpe": "Spe mean",
    "MAE": "MAE",
}
"""The scores that papers report, in their order, with short titles; mean Dice next to maximum Dice."""

_CLINICAL_COLUMNS = {
    "lesions": "lesions",
    "lesion_detection_rate": "detected",
    "frames_to_detection": "latency, frames",
    "negative_frames": "negative frames",
    "false_positives_per_minute": "FP/min",
    "negative_specificity": "specificity",
    "flicker": "flicker",
}
# Characters that LaTeX would read as a command or print as another character.
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\n": " ",
}
_DECIMALS = {"frames_to_detection": 1, "false_positives_per_minute": 1}


def clinical_columns(scores: Mapping[str, Any]) -> dict[str, str]:
    """Return the clinical scores that tables show, with short titles.

    Args:
        scores: the scores of any split or clip; the name of its Dice holds the threshold.
    """
    dice = next(name for name in scores if name.startswith("dice_at_"))
    return {dice: f"Dice at {dice.removeprefix('dice_at_')}", **_CLINICAL_COLUMNS}


def show(name: str, value: float | int | None) -> str:
    """Format a score for a table: three decimals (or one), a count as it is, a dash for None.

    Args:
        name: the score's name, which decides the decimals.
        value: the score, a count, or None.
    """
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{_DECIMALS.get(name, 3)}f}"


def score_table(scores: AllScores) -> str:
    """Make the table for a terminal: per split the benchmark's scores, then the clinical ones, one row per method.

    Args:
        scores: ``{method: {split: {"dataset": {...}, "cases": {...}}}}``.

    Returns:
        Lines of up to about 110 characters.
    """
    lines = []
    for split in _splits(scores):
        methods = {method: splits[split] for method, splits in scores.items() if split in splits}
        clips = max(len(split_scores["cases"]) for split_scores in methods.values())
        lines += ["", f"{split} ({clips} {'clip' if clips == 1 else 'clips'})"]
        some = next(iter(methods.values()))["dataset"]
        tables = [BENCHMARK_COLUMNS, clinical_columns(some)]
        if all(x["dataset"][name] is None for x in methods.values() for name in BENCHMARK_COLUMNS):
            del tables[0]  # pysodmetrics is missing, or every clip has fewer than three frames
        for columns in tables:
            rows = [["method", *columns.values()]]
            for method, split_scores in methods.items():
                dataset = split_scores["dataset"]
                rows.append([method, *(show(name, dataset[name]) for name in columns)])
            lines += _aligned(rows)
    return "\n".join(lines[1:])


def _splits(scores: AllScores) -> list[str]:
    return list(dict.fromkeys(split for splits in scores.values() for split in splits))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def latex_rows(scores: AllScores) -> str:
    """Make rows for a LaTeX ``tabular``: one row per method, the columns of all splits side by side.

    The first two lines are comments that name the columns. Scores are in percent, except MAE, as in papers.
    """
    splits = _splits(scores)
    lines = [f"% per split: {', '.join(BENCHMARK_COLUMNS)}", f"% splits: {', '.join(splits)}"]
    for method, by_split in scores.items():
        cells = [_latex_text(method)]
        for split in splits:
            dataset = by_split[split]["dataset"] if split in by_split else {}
            cells += [_latex_number(name, dataset.get(name)) for name in BENCHMARK_COLUMNS]
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join(lines) + "\n"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_number(name: str, value: float | None) -> str:
    if value is None:
        return "--"
    return f"{value:.3f}" if name == "MAE" else f"{100 * value:.1f}"


def write_clip_table(path: str | Path, scores: AllScores) -> None:
    """Write all scores of every clip as CSV: one row per method and clip; an empty cell for None.

    Args:
        path: the file, which appears complete or not at all.
        scores: ``{method: {split: {"dataset": {...}, "cases": {...}}}}``.
    """
    names = list(next(iter(next(iter(scores.values())).values()))["dataset"])
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "split", "case", *names])
        for method, splits in scores.items():
            for split, split_scores in splits.items():
                for case, values in split_scores["cases"].items():
                    writer.writerow([method, split, case, *(values[name] for name in names)])


@dataclass(frozen=True)
class PublishedResult:
    """One number from a paper."""

    method: str
    split: str
    """One of :data:`lsinet_monai.data.SPLITS`."""
    metric: str
    """One of :data:`lsinet_monai.metrics.BENCHMARK_SCORES`, which have different names for mean and maximum."""
    value: float
    """In [0, 1]."""
    paper: str
    source: str


def read_published(path: str | os.PathLike[str]) -> list[PublishedResult]:
    """Read published results.

    Args:
        path: a CSV file with the columns method, split, metric, value (in percent), paper and source.

    Raises:
        InputError: the file cannot be read, lacks a column, or has an unknown split or metric or an invalid value.
    """
    results = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                results.append(_published(row, f"{path}, line {line}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"published results {path}: cannot be read ({error}); give a CSV file") from error
    return results


def _published(row: Mapping[str, str | None], where: str) -> PublishedResult:
    fields = {name: row.get(name) or "" for name in ("method", "split", "metric", "value", "paper", "source")}
    empty = [name for name, text in fields.items() if not text]
    if empty:
        raise InputError(f"{where}: has no {empty[0]}")
    for name, known in (("split", SPLITS), ("metric", BENCHMARK_SCORES)):
        if fields[name] not in known:
            raise InputError(f"{where}: {name} {fields[name]!r} is not one of {', '.join(known)}")
    text = fields.pop("value")
    try:
        value = float(text) / 100
    except ValueError as error:
        raise InputError(f"{where}: value {text!r} is not a number") from error
    return PublishedResult(value=value, **fields)
