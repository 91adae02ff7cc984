"""Scoring folders of probability maps against the truth, and reports for people: tables, plots, pictures, one page."""

from .command import evaluate, name_predictions
from .html import html_report
from .pictures import write_side_by_side
from .run import Evaluation, MapProblems, TruthClip, score_folders, truth_clips
from .tables import latex_rows, read_published, score_table, write_clip_table

__all__ = [
    "Evaluation",
    "MapProblems",
    "TruthClip",
    "evaluate",
    "html_report",
    "latex_rows",
    "name_predictions",
    "read_published",
    "score_folders",
    "score_table",
    "truth_clips",
    "write_clip_table",
    "write_side_by_side",
]
