from __future__ import annotations

import pytest
from lib.errors import Conflict, NotFound

from lsinet_monai.errors import InputError


@pytest.mark.parametrize("kind", [Conflict, NotFound])
def test_they_are_input_errors(kind):
    with pytest.raises(InputError, match=r"^one line$"):
        raise kind("one line")


def test_a_conflict_has_details():
    assert Conflict("one line", version=2).details == {"version": 2} and Conflict("one line").details == {}
