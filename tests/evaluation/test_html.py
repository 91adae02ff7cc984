from __future__ import annotations

import dataclasses
import re

import pytest

from lsinet_monai.evaluation import Evaluation, html_report
from lsinet_monai.evaluation.tables import BENCHMARK_COLUMNS, PublishedResult
from lsinet_monai.version import __version__

SPLIT = "TestEasyDataset/Unseen"


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    return html_report(evaluation)


def test_needs_no_other_file(html: str) -> None:
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert html.count("data:image/svg+xml;base64,") == 2  # curves and bars
    assert html.count("data:image/jpeg;base64,") == 2 * 4  # two methods, two frames of each of two clips


def test_tables(html: str, evaluation: Evaluation) -> None:
    scores = evaluation.scores()["blurred"][SPLIT]
    for text in (SPLIT, "2 clips, 6 frames scored by the benchmark", *BENCHMARK_COLUMNS.values(), "Dice at 0.5"):
        assert text in html
    assert f"{scores['dataset']['maxDice']:.3f}" in html
    rows = re.findall(r"<tr><td>(case\d)</td><td>(\w+)</td>", html)
    worst_first = sorted(("case1", "case2"), key=lambda case: scores["cases"][case]["dice_at_0.5"])
    empty = evaluation.scores()["empty"][SPLIT]["cases"]
    assert {empty[case]["dice_at_0.5"] for case in worst_first} == {0}  # so the other method gives the order
    assert rows == [(case, method) for case in worst_first for method in ("blurred", "empty")]


def test_explains_the_scores(html: str) -> None:
    for term in ("Dice mean, Dice max", "Dice at a threshold", "lesions, detected, latency", "flicker"):
        assert f"<dt>{term}</dt>" in html
    assert f"lsinet_monai {__version__}" in html


def test_notices_and_names_are_escaped(evaluation: Evaluation) -> None:
    html = html_report(dataclasses.replace(evaluation, notices=["<b>: has no truth"]))
    assert "Before you read the numbers" in html and "&lt;b&gt;: has no truth" in html and "<b>" not in html


def test_without_notices_there_is_no_section(evaluation: Evaluation) -> None:
    assert "Before you read the numbers" not in html_report(dataclasses.replace(evaluation, notices=[]))


def test_published_results_are_rows_of_their_split(evaluation: Evaluation) -> None:
    papers = [
        PublishedResult("Rival", SPLIT, "maxDice", 0.876, "Someone 2025", "arXiv:1"),
        PublishedResult("Rival", SPLIT, "MAE", 0.012, "Someone 2025", "arXiv:1"),
        PublishedResult("Other", "TestHardDataset/Seen", "maxDice", 0.111, "Nobody 2025", "arXiv:2"),
    ]
    (row,) = re.findall(r'<tr class="paper">.*', html_report(evaluation, published=papers))
    assert "Rival" in row and "Someone 2025, arXiv:1" in row and "0.876" in row and "0.012" in row
