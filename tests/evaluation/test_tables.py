from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.evaluation import latex_rows, read_published, score_table, write_clip_table
from lsinet_monai.metrics import BENCHMARK_SCORES, ClinicalCounts, ClipResult, split_scores

PUBLISHED = Path(__file__).parents[2] / "docs" / "published_results.csv"
HEADER = "method,split,metric,value,paper,source\n"


def _scores(**values: float) -> dict[str, Any]:
    """Scores of a split of one clip; all but those given are 0.5 or none."""
    scores = split_scores({"case1": ClipResult(None, 0, ClinicalCounts(0.5, frames=2, dice=1.0), ())})
    filled = {**scores["dataset"], **dict.fromkeys(BENCHMARK_SCORES, 0.5), **values}
    return {"dataset": filled, "cases": {"case1": filled}}


SCORES = {
    "ours": {"TestEasyDataset/Seen": _scores(meanDice=0.81234, maxDice=0.9, MAE=0.0126, lesions=7), "all": _scores()},
    "50% & more": {"all": _scores(maxDice=0.25)},
}


def test_score_table_has_mean_and_maximum_dice_side_by_side() -> None:
    lines = score_table(SCORES).splitlines()
    assert lines[0] == "TestEasyDataset/Seen (1 clip)"
    titles, values = (line.split("  ") for line in lines[1:3])
    columns = [[cell.strip() for cell in line if cell.strip()] for line in (titles, values)]
    row = dict(zip(*columns, strict=True))
    assert row["Dice mean"] == "0.812" and row["Dice max"] == "0.900" and row["MAE"] == "0.013"
    assert columns[0].index("Dice max") == columns[0].index("Dice mean") + 1
    assert [line for line in lines if line.startswith("50% & more")]
    assert all(len(line) <= 120 for line in lines)


def test_latex_rows() -> None:
    rows = [line for line in latex_rows(SCORES).splitlines() if not line.startswith("%")]
    cells = [row.removesuffix(r" \\").split(" & ") for row in rows]
    assert [len(row) for row in cells] == [21, 21]
    assert cells[0][:1] + cells[0][5:7] + cells[0][10:11] == ["ours", "81.2", "90.0", "0.013"]
    assert rows[1].startswith(r"50\% \& more & -- & --")


def test_latex_escapes_names() -> None:
    name = r"a_b^c~d\e{f}$g#h<i>j|k"
    (row,) = [line for line in latex_rows({name: {"all": _scores()}}).splitlines() if not line.startswith("%")]
    assert row.partition(" & ")[0] == (
        r"a\_b\textasciicircum{}c\textasciitilde{}d\textbackslash{}e\{f\}\$g\#h\textless{}i\textgreater{}j\textbar{}k"
    )


def test_clip_table(tmp_path: Path) -> None:
    write_clip_table(tmp_path / "clips.csv", SCORES)
    with open(tmp_path / "clips.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["split"], row["case"]) for row in rows] == [
        ("ours", "TestEasyDataset/Seen", "case1"),
        ("ours", "all", "case1"),
        ("50% & more", "all", "case1"),
    ]
    assert float(rows[0]["meanDice"]) == 0.81234
    assert rows[0]["lesion_detection_rate"] == ""


def test_published_results_that_ship() -> None:
    results = read_published(PUBLISHED)
    sali = {result.split: result.value for result in results if result.method == "SALI (PVTv2-B5)"}
    assert sali == {
        "TestEasyDataset/Seen": pytest.approx(0.927),
        "TestHardDataset/Seen": pytest.approx(0.891),
        "TestEasyDataset/Unseen": pytest.approx(0.825),
        "TestHardDataset/Unseen": pytest.approx(0.822),
    }
    assert {result.metric for result in results if result.method.startswith("SALI")} == {"maxDice"}
    assert all(0 < result.value < 1 and result.paper and result.source for result in results)


BAD_ROWS = [
    ("SALI,TestEasyDataset/Seen,maxDice,,paper,source", "line 2: has no value"),
    ("SALI,TestEasyDataset,maxDice,92,paper,source", "line 2: split 'TestEasyDataset' is not one of TrainDataset, "),
    ("SALI,TestEasyDataset/Seen,Dice,92,paper,source", "line 2: metric 'Dice' is not one of Smeasure, "),
    ("SALI,TestEasyDataset/Seen,maxDice,high,paper,source", "line 2: value 'high' is not a number"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_bad_published_results(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "papers.csv").write_text(HEADER + row + "\n")
    with pytest.raises(InputError, match=message):
        read_published(tmp_path / "papers.csv")


def test_no_published_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_published(tmp_path / "papers.csv")
