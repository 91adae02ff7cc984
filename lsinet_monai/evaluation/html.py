"""The report: one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lsinet_monai.utils.extras import require_extra
from lsinet_monai.version import __version__

from .figures import METHOD_COLOURS, clip_bars, threshold_curves
from .pictures import worst_frames
from .run import Evaluation
from .tables import BENCHMARK_COLUMNS, PublishedResult, clinical_columns, show

__all__ = ["html_report"]


def html_report(
    evaluation: Evaluation, frames_per_second: float = 30.0, published: Sequence[PublishedResult] = ()
) -> str:
    """Make the report: tables, curves over the thresholds, bars of the clips, and the worst frames.

    Args:
        evaluation: the results, with the places of maps, masks and frames.
        frames_per_second: the clips' frame rate.
        published: results of papers, shown next to the benchmark's scores of the same split.

    Returns:
        An HTML document that needs no other file.

    Raises:
        InputError: matplotlib or Jinja is not installed, or a file cannot be read.
    """
    scores = evaluation.scores(frames_per_second)
    jinja = require_extra("jinja2", "metrics")
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    splits = list(dict.fromkeys(split for by_split in evaluation.results.values() for split in by_split))
    return environment.from_string(template).render(
        version=__version__,
        methods=dict(zip(evaluation.results, METHOD_COLOURS * len(evaluation.results), strict=False)),
        notices=evaluation.notices,
        benchmark=BENCHMARK_COLUMNS,
        show=show,
        splits=[_split(evaluation, scores, split, published) for split in splits],
    )


def _split(
    evaluation: Evaluation, scores: dict[str, Any], split: str, published: Sequence[PublishedResult]
) -> dict[str, Any]:
    methods = [method for method, by_split in evaluation.results.items() if split in by_split]
    datasets = {method: scores[method][split]["dataset"] for method in methods}
    columns = clinical_columns(datasets[methods[0]])
    dice = next(iter(columns))
    cases = {method: scores[method][split]["cases"] for method in methods}
    worst_first = sorted(
        cases[methods[0]], key=lambda case: float(np.mean([clips[case][dice] for clips in cases.values()]))
    )
    bars = clip_bars(
        {method: {case: clips[case][dice] for case in worst_first} for method, clips in cases.items()}, columns[dice]
    )
    # Several papers may report the same method, with different numbers.
    papers: dict[tuple[str, str, str], dict[str, float]] = {}
    for result in published:
        if result.split == split:
            papers.setdefault((result.method, result.paper, result.source), {})[result.metric] = result.value
    return {
        "name": split,
        "clips": len(cases[methods[0]]),
        "benchmark_frames": sum(clip.benchmark_frames for clip in evaluation.results[methods[0]][split].values()),
        "datasets": datasets,
        "papers": papers,
        "clinical": columns,
        "dice": dice,
        "cases": {case: {method: cases[method][case] for method in methods} for case in worst_first},
        "curves": _data_url(threshold_curves({method: evaluation.results[method][split] for method in methods})),
        "bars": _data_url(bars),
        "films": {
            method: [(frame, _encoded("image/jpeg", frame.jpeg)) for frame in worst_frames(evaluation, method, split)]
            for method in methods
        },
    }


def _data_url(svg: str) -> str:
    # As <img>, since the ids of several inline SVG figures would clash.
    return _encoded("image/svg+xml", svg.encode()) if svg else ""


def _encoded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
