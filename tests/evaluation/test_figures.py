from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lsinet_monai.evaluation import Evaluation
from lsinet_monai.evaluation.figures import METHOD_COLOURS, clip_bars, threshold_curves
from lsinet_monai.metrics import ClinicalCounts, ClipResult

SPLIT = "TestEasyDataset/Unseen"


def _texts(svg: str) -> list[str]:
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [text.text or "" for text in texts]


def test_curves(evaluation: Evaluation) -> None:
    methods = {method: by_split[SPLIT] for method, by_split in evaluation.results.items()}
    svg = threshold_curves(methods)
    assert {"Dice", "F-measure", "E-measure", "sensitivity", "specificity", "blurred", "empty"} < set(_texts(svg))
    assert all(colour in svg for colour in METHOD_COLOURS[:2]) and METHOD_COLOURS[2] not in svg
    assert threshold_curves(methods) == svg  # the same scores give the same file


def test_more_methods_than_colours_are_dashed(evaluation: Evaluation) -> None:
    methods = {f"m{number}": evaluation.results["blurred"][SPLIT] for number in range(len(METHOD_COLOURS) + 1)}
    few = dict(list(methods.items())[: len(METHOD_COLOURS)])
    assert "stroke-dasharray: 5" in threshold_curves(methods) and "stroke-dasharray: 5" not in threshold_curves(few)


def test_no_curves_without_frames_that_the_benchmark_scores() -> None:
    result = ClipResult(None, 0, ClinicalCounts(0.5, frames=2), ())
    assert threshold_curves({"ours": {"case1": result}}) == ""


def test_bars() -> None:
    texts = _texts(clip_bars({"ours": {"case2": 0.25, "case1": 0.5}, "theirs": {"case1": 1.0, "case2": 0.75}}, "Dice"))
    assert [text for text in texts if text.startswith("case")] == ["case2", "case1"]  # the first method's order
    assert {"0.25", "0.50", "0.75", "1.00"} <= set(texts) and {"ours", "theirs"} < set(texts) and "Dice" in texts


@pytest.mark.parametrize(("clips", "title"), [(30, "Dice"), (31, "Dice: the worst 30 of 31 clips")])
def test_bars_of_many_clips(clips: int, title: str) -> None:
    texts = _texts(clip_bars({"ours": {f"case{number}": 0.5 for number in range(clips)}}, "Dice"))
    assert title in texts and sum(text.startswith("case") for text in texts) == 30
    assert "ours" not in texts  # one method needs no legend
