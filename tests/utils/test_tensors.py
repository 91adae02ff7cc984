from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch._subclasses import FakeTensorMode

from lsinet_monai.utils.tensors import count_along, describe, value_range

DESCRIBED = [
    (torch.zeros(1, 2, dtype=torch.bool), "tensor bool (1, 2)"),
    (np.zeros((3,), np.uint16), "array uint16 (3,)"),
    ([torch.zeros(1)], "list"),
    (None, "NoneType"),
]
RANGES = [
    (torch.tensor([[-1.0, 3.0], [2.0, 0.0]]), (-1, 3)),
    (torch.tensor([0, 255], dtype=torch.uint8), (0, 255)),
    (torch.tensor([True]), (1, 1)),
    (torch.tensor([0.5], dtype=torch.bfloat16), (0.5, 0.5)),
    (MetaTensor(torch.tensor([1.0, 2.0])), (1, 2)),
    (torch.tensor([1.0, 2.0], requires_grad=True), (1, 2)),
]


def test_count_along() -> None:
    like = torch.tensor([[float("nan"), 2.0, -1.0]]).repeat(2, 1)
    assert count_along(like, 1).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert count_along(like, 0).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert count_along(like > 0, 1).dtype == torch.int64


@pytest.mark.parametrize(("x", "expected"), DESCRIBED)
def test_describe(x: Any, expected: str) -> None:
    assert describe(x) == expected


@pytest.mark.parametrize(("x", "expected"), RANGES)
def test_value_range(x: torch.Tensor, expected: tuple[float, float]) -> None:
    assert value_range(x) == expected


def test_a_tensor_without_values_has_no_range() -> None:
    assert value_range(torch.zeros(2, device="meta")) is None
    with FakeTensorMode():
        assert value_range(torch.zeros(2)) is None


def test_a_traced_graph_has_no_values() -> None:
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(value_range(x))
        return x + 1

    torch.jit.trace(look, torch.zeros(2), check_trace=False)
    assert seen == [None]


@pytest.mark.slow
def test_a_compiled_graph_has_no_values() -> None:
    assert torch.compile(lambda x: x + (value_range(x) is None), backend="eager")(torch.zeros(1)) == 1
