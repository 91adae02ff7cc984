from __future__ import annotations

from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.utils.options import as_bool, as_slice

SWITCHES = [(True, True), ("true", True), ("True", True), (False, False), ("false", False), ("FALSE", False)]
NO_SWITCHES = [None, "", "yes", 1, 0, "none"]

RANGES = [
    (None, range(10)),
    (":", range(10)),
    ("2:5", range(2, 5)),
    ("7:", range(7, 10)),
    (":3", range(3)),
    ("8:99", range(8, 10)),
]


@pytest.mark.parametrize(("value", "expected"), SWITCHES)
def test_as_bool(value: Any, expected: bool) -> None:
    assert as_bool(value, "pretrained") is expected


@pytest.mark.parametrize("value", NO_SWITCHES)
def test_as_bool_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=r"^pretrained=.* is neither true nor false$"):
        as_bool(value, "pretrained")


@pytest.mark.parametrize(("value", "expected"), RANGES)
def test_as_slice(value: str | None, expected: range) -> None:
    assert range(10)[as_slice(value, "frames")] == expected


@pytest.mark.parametrize("value", ["", "5", "a:b", "-3:", "1:2:3", "5:5", "6:2", ":0", 7])
def test_as_slice_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=f"^frames={value!r} is (not A:B|empty)"):
        as_slice(value, "frames")
