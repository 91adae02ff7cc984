"""Scores folders of probability maps against the truth; reports them as tables, plots, pictures and one page."""

from .command import evaluate, name_predictions
from .html import html_report
from .maps import MapProblems
from .pictures import write_side_by_side
from .run import Evaluation, score_folders
from .tables import latex_rows, read_published, score_table, write_clip_table
from .truth import TruthClip, truth_clips

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
