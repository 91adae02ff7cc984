from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.workflow import set_up_torch

FLAGS = [
    (torch.backends.cudnn, "deterministic"),
    (torch.backends.cudnn, "benchmark"),
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cuda.matmul, "allow_tf32"),
]


@pytest.fixture(autouse=True)
def kept_flags() -> Iterator[None]:
    before = [getattr(*flag) for flag in FLAGS]
    yield
    for flag, value in zip(FLAGS, before, strict=True):
        setattr(*flag, value)


def test_random_numbers_repeat() -> None:
    seen = []
    for _ in range(2):
        set_up_torch(3)
        seen.append([random.random(), np.random.rand(), torch.rand(1).item()])
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [False, True, None, None]),
        ({"deterministic": "true"}, [True, False, None, None]),
        ({"tf32": True}, [False, True, True, True]),
        ({"tf32": "false"}, [False, True, False, False]),
    ],
)
def test_how_a_gpu_computes(options: dict[str, bool], expected: list[bool | None]) -> None:
    before = [getattr(*flag) for flag in FLAGS]
    set_up_torch(0, **options)
    wanted = [old if new is None else new for old, new in zip(before, expected, strict=True)]
    assert [getattr(*flag) for flag in FLAGS] == wanted


def test_other_values_are_refused() -> None:
    with pytest.raises(InputError, match="tf32"):
        set_up_torch(0, tf32="half")
