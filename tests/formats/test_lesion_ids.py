from __future__ import annotations

import pytest

from lsinet_monai.formats.lesion_ids import fit_ids

CASES = [
    ("fit", [3, 255, 1], (), {1: 1, 3: 3, 255: 255}),
    ("from 0", [0, 1, 2, 0], (), {0: 3, 1: 1, 2: 2}),
    ("too large", [7, 2**31, 256], (), {7: 7, 256: 1, 2**31: 2}),
    ("others in use", [0], (1,), {0: 2}),
    ("too many", range(1, 258), (), {id: id for id in range(1, 258)}),
]


@pytest.mark.parametrize(("ids", "taken", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_ids_fit_and_never_become_one(ids, taken, expected):
    assert fit_ids(ids, taken) == expected
