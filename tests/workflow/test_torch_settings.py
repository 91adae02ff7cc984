from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.workflow import check_compile, set_up_torch, torch_settings

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


def test_what_a_compiled_step_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(torch_settings, "which", lambda command: None)
        assert check_compile("false", device) is False
        with pytest.raises(InputError, match=r"a C(\+\+)? compiler.*--compile false"):
            check_compile("true", device)
        monkeypatch.setattr(torch_settings, "which", lambda command: command if command == "my-compiler" else None)
        monkeypatch.setenv("CC", "my-compiler -O2")
        monkeypatch.setenv("CXX", "my-compiler -O2")
        monkeypatch.setattr(torch_settings, "find_spec", lambda name: name)
        assert check_compile(True, torch.device(device)) is True
    monkeypatch.setattr(torch_settings, "find_spec", lambda name: None)
    check_compile(True, "cpu")
    with pytest.raises(InputError, match=r"Triton.*--compile false"):
        check_compile(True, "cuda:1")
    with pytest.raises(InputError, match="compile='maybe'"):
        check_compile("maybe", "cpu")
