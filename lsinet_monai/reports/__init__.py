"""Scores for people: tables, plots, pictures and one self-contained page."""

from .evaluate import evaluate, name_predictions
from .html import html_report
from .pictures import write_side_by_side
from .tables import latex_rows, read_published, score_table, write_clip_table

__all__ = [
    "evaluate",
    "html_report",
    "latex_rows",
    "name_predictions",
    "read_published",
    "score_table",
    "write_clip_table",
    "write_side_by_side",
]
