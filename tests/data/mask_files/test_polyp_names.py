from __future__ import annotations

import pytest

from lsinet_monai.data.mask_files.polyp_names import is_called_polyp, polyp_names
from lsinet_monai.errors import InputError

# the labels of a file, and those that are polyp
NAMES = [
    (["tool"], []),
    (["polyp", "not polyp", "non-polyp", "polypectomy snare", "flat polyp"], ["polyp"]),
    (["Polyp ", "polyps"], ["Polyp ", "polyps"]),
    (["Polyps", "flat polyp"], ["Polyps"]),
    (["flat polyp", "polyp_2", "Polyp (Is)", "polyp3", "tool"], ["flat polyp", "polyp_2", "Polyp (Is)", "polyp3"]),
    (["not polyp", "non-polyp", "no_polyp", "not a polyp", "polypectomy snare", "without polyps"], []),
]


@pytest.mark.parametrize(("names", "polyps"), NAMES)
def test_labels_that_are_polyp(names: list[str], polyps: list[str]) -> None:
    assert polyp_names(names) == polyps


def test_called_polyp() -> None:
    names = ["polyp", " POLYPS", "flat polyp", "polyp 2", "tool"]
    assert [is_called_polyp(name) for name in names] == [True, True, False, False, False]


def test_a_label_that_may_be_polyp_or_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the label 'non-pedunculated polyp' may be polyp or not$"):
        polyp_names(["flat polyp", "non-pedunculated polyp"])
    with pytest.raises(InputError, match=r"^the label 'no flat polyp' of labelmap\.txt may be polyp or not$"):
        polyp_names(["no flat polyp"], "labelmap.txt")
    assert polyp_names(["polyp", "non-pedunculated polyp"]) == ["polyp"]
