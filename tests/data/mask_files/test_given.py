from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lsinet_monai.data.mask_files.given import GivenThreshold, GivenValues, given_rule
from lsinet_monai.data.mask_files.picture import MaskPicture
from lsinet_monai.errors import InputError

LABELS = {"background": (0, 0, 0), "polyp": (250, 50, 83)}

READ = [
    (1, GivenValues((1,))),
    ("1", GivenValues((1,))),
    ([1, 2], GivenValues((1, 2))),
    ("[1, 2]", GivenValues((1, 2))),
    ("1,2", GivenValues((1, 2))),
    ("rgb(250, 50, 83)", GivenValues(((250, 50, 83),))),
    ("rgb(250 50 83)", GivenValues(((250, 50, 83),))),
    (["rgb(250,50,83)", 3], GivenValues(((250, 50, 83), 3))),
    ("polyp", GivenValues(((250, 50, 83),))),
    (">128", GivenThreshold(128)),
    ("< 128", GivenThreshold(128, is_brighter=False)),
]


@pytest.mark.parametrize(("mask_values", "rule"), READ, ids=str)
def test_what_a_person_gives(mask_values: Any, rule: object) -> None:
    assert given_rule(mask_values, LABELS) == rule
    assert str(given_rule(mask_values, LABELS)).endswith("as given")


@pytest.mark.parametrize(
    "mask_values", [256, -1, 0.5, True, "red", "rgb(0,0,256)", ">300", [], "", {"polyp": 1}], ids=str
)
def test_what_is_no_value_is_refused(mask_values: Any) -> None:
    with pytest.raises(InputError, match=r"mask_values=.*(give|such as) 1 \(a grey"):
        given_rule(mask_values, LABELS)


def test_values_that_a_compression_has_changed_are_refused() -> None:
    def compressed(*values: int) -> MaskPicture:
        return MaskPicture("a.jpg", "grey", np.array([values], np.uint8), lossy=True)

    assert "also hold others, such as 1, 254 (give >128" in GivenValues((255,)).misfit(compressed(0, 1, 254, 255))
    assert not GivenValues((255,)).misfit(compressed(0, 255))
    assert not GivenThreshold(128).misfit(compressed(0, 1, 254, 255))
