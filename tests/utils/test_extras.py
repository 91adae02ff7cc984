from __future__ import annotations

import json

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra


def test_a_module_that_is_there() -> None:
    assert require_extra("json", "video") is json


def test_a_module_that_is_missing_says_what_brings_it() -> None:
    with pytest.raises(InputError, match=r'no_such_module is not installed: pip install "lsinet_monai\[video\]"'):
        require_extra("no_such_module", "video")
