from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lsinet_monai.masks import logit_to_probability

SIZES = [("larger", (13, 22)), ("smaller", (5, 3)), ("the same", (8, 10)), ("one pixel", (1, 1))]


def _logits(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (4 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(dtype)


@pytest.mark.parametrize(("_", "size"), SIZES, ids=[case[0] for case in SIZES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_equals_interpolation_then_sigmoid_in_float32(_: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    logits = _logits(2, 3, 8, 10, dtype=dtype)
    expected = torch.sigmoid(F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False))
    probability = logit_to_probability(logits, size)
    assert probability.dtype == torch.float32 and probability.shape == (2, 3, *size)
    torch.testing.assert_close(probability, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("_", "size"), SIZES, ids=[case[0] for case in SIZES])
def test_a_single_map_equals_the_same_map_in_a_batch(_: str, size: tuple[int, int]) -> None:
    logits = _logits(2, 1, 8, 10)
    batch = logit_to_probability(logits, size)
    for logit, probability in zip(logits[:, 0], batch[:, 0], strict=True):
        torch.testing.assert_close(logit_to_probability(logit, torch.Size(size)), probability)


def test_resizes_before_the_sigmoid() -> None:
    # Two columns, -3 and 1, become four by half-pixel bilinear interpolation: -3, -2, 0, 1.
    probability = logit_to_probability(torch.tensor([[-3.0, 1.0]]), (1, 4))
    torch.testing.assert_close(probability, torch.sigmoid(torch.tensor([[-3.0, -2.0, 0.0, 1.0]])))


def test_half_precision_is_computed_in_float32() -> None:
    # In half precision the sigmoid of 9 would round to 1.
    probability = logit_to_probability(torch.full((2, 2), 9.0, dtype=torch.float16), (2, 2))
    torch.testing.assert_close(probability, torch.full((2, 2), 0.99987662))
