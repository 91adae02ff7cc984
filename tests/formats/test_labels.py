from __future__ import annotations

from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import UnclearLabels, parse_labels
from lsinet_monai.formats.labels import LabelChoice

FOUND = {"Polyp": 3, "tool": 2, "bleeding": 0}
CHOICES = [
    (None, {"Polyp"}, set()),
    ("tool", {"tool"}, set()),
    (["Polyp", "tool"], {"Polyp", "tool"}, set()),
    ({"tool": "polyp", "Polyp": None}, {"tool"}, {"Polyp"}),
    ({"tool": 4, "bleeding": None}, {"tool"}, {"bleeding"}),
]


@pytest.mark.parametrize(("labels", "polyps", "others"), CHOICES)
def test_choice(labels: Any, polyps: set[str], others: set[str]) -> None:
    choice = LabelChoice(labels, FOUND)
    assert {name for name in FOUND if choice.is_polyp(name)} == polyps
    assert {name for name in FOUND if choice.is_something_else(name)} == others
    assert choice.lesion("tool") == (4 if labels == {"tool": 4, "bleeding": None} else None)


# the labels of a file, and those that are polyps: as with the class lists of masks
NAMES = [
    ({"flat polyp": 1, "Polyp_2": 1, "non-polyp": 1, "polypectomy snare": 1}, {"flat polyp", "Polyp_2"}),
    ({"Polyps": 1, "flat polyp": 1}, {"Polyps"}),
    ({"polyp": 1, "non-pedunculated polyp": 1}, {"polyp"}),
]


@pytest.mark.parametrize(("found", "polyps"), NAMES)
def test_labels_whose_names_mean_polyp(found: dict[str, int], polyps: set[str]) -> None:
    choice = LabelChoice(None, found)
    assert {name for name in found if choice.is_polyp(name)} == polyps


BAD = [
    (
        "adenoma",
        FOUND,
        r"has no label 'adenoma': choose from its labels, 'Polyp' \(3\), 'tool' \(2\), 'bleeding' \(0\)",
    ),
    (None, {"lesion": 1}, r"does not say which labels are polyps: choose labels=NAME, from 'lesion' \(1\)"),
    (None, {"non-polyp": 1}, r"does not say which labels are polyps: choose labels=NAME, from 'non-polyp' \(1\)"),
    (
        None,
        {"flat polyp": 2, "non-pedunculated polyp": 1},
        r"are polyps \(the label 'non-pedunculated polyp' may be polyp or not\): choose labels=NAME, from 'flat polyp'",
    ),
    ({"tool": "instrument"}, FOUND, "'tool' must be 'polyp', a lesion's id or null, not 'instrument'"),
    ({"tool": 0}, FOUND, "not 0"),
    ({"tool": True}, FOUND, "not True"),
]


@pytest.mark.parametrize(("labels", "found", "message"), BAD)
def test_refused(labels: Any, found: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        LabelChoice(labels, found)
    assert not isinstance(caught.value, UnclearLabels) or caught.value.details == {"labels": found}


def test_a_file_without_shapes_asks_nothing() -> None:
    assert not LabelChoice(None, {"lesion": 0, "non-flat polyp": 0}).is_polyp("lesion")


TEXTS = [
    ("polyp", {"polyp": "polyp"}),
    ("adenoma, serrated", {"adenoma": "polyp", "serrated": "polyp"}),
    ("p1:1,p2:2,x:polyp", {"p1": 1, "p2": 2, "x": "polyp"}),
    ("a:b", {"a:b": "polyp"}),
    ("[1, 2]", {"1": "polyp", "2": "polyp"}),
    ("rgb(250,50,83), rgb(1,2,3)", {"rgb(250,50,83)": "polyp", "rgb(1,2,3)": "polyp"}),
    ("polyp (flat, small),tool:3", {"polyp (flat, small)": "polyp", "tool": 3}),
    ('{"a, b": "polyp", "tool": null}', {"a, b": "polyp", "tool": None}),
]


@pytest.mark.parametrize(("text", "labels"), TEXTS)
def test_parse_labels(text: str, labels: dict[str, Any]) -> None:
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["", " , ", "{", '{"a": }'])
def test_no_labels(text: str) -> None:
    with pytest.raises(InputError, match="labels="):
        parse_labels(text)
