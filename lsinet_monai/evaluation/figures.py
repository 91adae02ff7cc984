"""Plots of scores, as self-contained SVG images."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from lsinet_monai.metrics import THRESHOLDS, ClipResult, average
from lsinet_monai.utils.extras import require_extra

__all__ = ["METHOD_COLOURS", "clip_bars", "threshold_curves"]

# Okabe and Ito's colours, which red-green colour-blind people can tell apart.
METHOD_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")

_CURVES = {"Dice": "Dice", "Fm": "F-measure", "Em": "E-measure", "Sen": "sensitivity", "Spe": "specificity"}
_MAX_BARS = 30
_STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#3c4149",
    "xtick.color": "#3c4149",
    "ytick.color": "#3c4149",
    "text.parse_math": False,  # names of clips and methods may contain dollar signs
    "svg.fonttype": "none",  # the reader's fonts, since a clip's name may use any alphabet
    "svg.hashsalt": "lsinet_monai",  # the same scores give the same file
}


def _svg(draw: Any, size: tuple[float, float], **options: Any) -> str:
    """Return the SVG of a figure that ``draw`` fills, without pyplot and its global state."""
    matplotlib = require_extra("matplotlib", "metrics")
    figures = require_extra("matplotlib.figure", "metrics")
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # in the font that measures texts
        figure = figures.Figure(figsize=size, layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None}, **options)
    return file.getvalue()


def threshold_curves(methods: Mapping[str, Mapping[str, ClipResult]]) -> str:
    """Plot a split's scores over the 256 thresholds: one panel per score, one line per method.

    Args:
        methods: the results of the split's clips, by method and case.

    Returns:
        The SVG document; empty if no clip has a frame that the benchmark scores.

    Raises:
        InputError: matplotlib is not installed.
    """
    found = {
        method: [clip.measures for clip in clips.values() if clip.measures is not None]
        for method, clips in methods.items()
    }
    curves = {method: average(measures) for method, measures in found.items() if measures}
    if not curves:
        return ""

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(_CURVES), sharex=True, sharey=True)
        for panel, (name, title) in zip(panels, _CURVES.items(), strict=True):
            for number, measures in enumerate(curves.values()):
                # When the colours run out, they repeat with dashed lines.
                rounds, place = divmod(number, len(METHOD_COLOURS))
                style = "--" if rounds else "-"
                panel.plot(THRESHOLDS, measures[name], style, color=METHOD_COLOURS[place], linewidth=1.6)
            panel.set(title=title, xlim=(0, 1), ylim=(0, 1.02))
            panel.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            panel.grid(color="#e6e8ec", linewidth=0.7)
            panel.set_axisbelow(True)
        figure.supxlabel("threshold on the stretched map", fontsize=9, color="#3c4149")
        _legend(figure, panels[0].get_lines(), list(curves))

    return _svg(draw, (10.5, 2.5 + _legend_height(len(curves))))


def clip_bars(methods: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Plot a score of a split's clips as bars.

    Args:
        methods: the clips' scores, in [0, 1], by method and case. The bars follow the first method's order.
        title: the score's name.

    Returns:
        The SVG document. It shows at most the first 30 clips, and the axis then says so.

    Raises:
        InputError: matplotlib is not installed.
    """
    cases = list(next(iter(methods.values())))
    shown = cases[:_MAX_BARS]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        height = 0.8 / len(methods)
        bars = []
        for number, clips in enumerate(methods.values()):
            places = [at + (number - (len(methods) - 1) / 2) * height for at in range(len(shown))]
            colour = METHOD_COLOURS[number % len(METHOD_COLOURS)]
            bars.append(axes.barh(places, [clips[case] for case in shown], height * 0.92, color=colour))
            axes.bar_label(bars[-1], fmt="%.2f", padding=3, fontsize=8 if len(methods) == 1 else 7, color="#3c4149")
        axes.set(xlim=(0, 1.12), ylim=(len(shown) - 0.5, -0.5), xticks=(0, 0.25, 0.5, 0.75, 1))
        axes.set_yticks(range(len(shown)), shown)
        axes.set_xlabel(title if len(shown) == len(cases) else f"{title}: the worst {len(shown)} of {len(cases)} clips")
        axes.grid(axis="x", color="#e6e8ec", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        _legend(figure, bars, list(methods))

    rows = len(shown) * (0.26 if len(methods) == 1 else 0.14 * len(methods) + 0.12)
    return _svg(draw, (7.5, 0.9 + rows + _legend_height(len(methods))))


_LEGEND_COLUMNS = 4


def _legend(figure: Any, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Name several methods above a figure. Matplotlib would hide a label that starts with an underscore."""
    if len(names) > 1:
        short = [textwrap.shorten(name, 36, placeholder="...") for name in names]
        figure.legend(handles, short, loc="outside upper left", ncols=min(len(names), _LEGEND_COLUMNS), frameon=False)


def _legend_height(methods: int) -> float:
    """The legend's height in inches."""
    return 0.12 + 0.18 * -(-methods // _LEGEND_COLUMNS) if methods > 1 else 0
