from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.losses import LSINetLoss

LOGIT, MASK = torch.randn(2, 1, 40, 52, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 1, 40, 52)
MASK[0, :, 10:30, 12:40] = 1

# (logits, mask, a part of the error)
BAD_CALLS = [
    (LOGIT, 255 * MASK, r"values from 0 to 255, and must lie in \[0, 1\]: divide masks of 0 and 255 by 255"),
    (LOGIT, (255 * MASK).byte(), "values from 0 to 255"),
    (LOGIT, 2 * MASK - 1, "values from -1 to 1"),
    (LOGIT, MASK[:, 0], r"one shape \(B, N, H, W\).* got logits tensor float32 .* mask tensor float32 \(2, 40, 52\)"),
    (LOGIT[0, 0], MASK[0, 0], "one shape"),
    (LOGIT, MASK[:1], "one shape"),
    (LOGIT, MASK[..., ::2, ::2], "one shape"),
    (LOGIT.expand(2, 3, 40, 52), MASK, "one shape"),
    ([LOGIT, LOGIT[..., ::2]], MASK, "one shape"),
    (LOGIT[:0], MASK[:0], "not empty"),
    ([], MASK, "got logits for no output"),
    (LOGIT, MASK.numpy(), "tensors: .* a mask array float32"),
    (LOGIT.long(), MASK, "floating-point logits"),
    (LOGIT, MASK.to("meta"), "on one device, not on cpu and meta"),
]


def _reference(logit: np.ndarray, mask: np.ndarray, weighted_bce: bool) -> float:
    """The loss of one output in float64, an image at a time, from the paper's formulas."""
    bce_of_images, iou_of_images = [], []
    for s, m in zip(logit[:, 0].astype(np.float64), mask[:, 0].astype(np.float64), strict=True):
        height, width = m.shape
        padded = np.pad(m, 15)
        local_mean = np.array([[padded[y : y + 31, x : x + 31].mean() for x in range(width)] for y in range(height)])
        weight = 1 + 5 * np.abs(local_mean - m)
        p = 1 / (1 + np.exp(-s))
        bce = -(m * np.log(p) + (1 - m) * np.log(1 - p))
        bce_of_images.append((weight * bce).sum() / weight.sum() if weighted_bce else bce.mean())
        intersection, total = (weight * p * m).sum(), (weight * (p + m)).sum()
        iou_of_images.append(1 - (intersection + 1) / (total - intersection + 1))
    return np.mean(bce_of_images) + np.mean(iou_of_images)


def _make(outputs: int = 4, size: tuple[int, int] = (40, 52)) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(3, 1, *size)
    mask[0, :, 10:30, 12:40] = 1
    mask[1] = torch.rand(1, *size, generator=generator)  # in [0, 1], as augmented masks are; image 2 has no polyp
    return [2 * torch.randn(mask.shape, generator=generator) for _ in range(outputs)], mask


@pytest.mark.parametrize("weighted_bce", [True, False])
def test_against_the_formulas(weighted_bce: bool) -> None:
    logits, mask = _make()
    expected = [_reference(logit.numpy(), mask.numpy(), weighted_bce) for logit in logits]
    loss = LSINetLoss(weighted_bce)
    assert [x.item() for x in loss.per_output(logits, mask)] == pytest.approx(expected, rel=1e-5)
    total = loss(tuple(logits), mask)
    assert total.shape == ()
    assert total.item() == pytest.approx(sum(expected), rel=1e-5)


def test_the_published_loss_is_the_default() -> None:
    logits, mask = _make(1)
    assert LSINetLoss()(logits, mask) == LSINetLoss(weighted_bce=True)(logits, mask)
    assert LSINetLoss()(logits, mask) != LSINetLoss(weighted_bce=False)(logits, mask)


def test_one_tensor_is_one_output() -> None:
    (logit,), mask = _make(1)
    assert LSINetLoss()(logit, mask) == LSINetLoss()([logit], mask)


def test_frames_of_a_sample_count_each_by_itself() -> None:
    logits, mask = _make()
    expected = LSINetLoss()(logits, mask)
    together = LSINetLoss()([logit.transpose(0, 1) for logit in logits], mask.transpose(0, 1))
    assert together.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("weighted_bce", [True, False])
def test_right_masks_cost_next_to_nothing_and_wrong_ones_much(weighted_bce: bool) -> None:
    mask = _make(0)[1].round()
    right = 40 * (mask - 0.5)
    loss = LSINetLoss(weighted_bce)
    assert loss(right, mask) < 1e-4
    assert loss(-right, mask) > 10


def test_gradients_reach_every_output() -> None:
    logits, mask = _make()
    for logit in logits:
        logit.requires_grad_()
    LSINetLoss()(logits, mask).backward()
    assert all(logit.grad.abs().sum() > 0 for logit in logits)


@pytest.mark.parametrize(("logits", "mask", "said"), BAD_CALLS)
def test_bad_calls(logits: Any, mask: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        LSINetLoss()(logits, mask)
    assert "\n" not in str(error.value)


def test_a_mask_of_255_is_refused_after_right_ones() -> None:
    loss = LSINetLoss()
    loss(LOGIT, MASK)
    loss(LOGIT, torch.zeros_like(MASK))
    with pytest.raises(InputError, match="values from 0 to 255"):
        loss(LOGIT, 255 * MASK)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64, torch.float16])
def test_a_mask_may_be_of_any_type(dtype: torch.dtype) -> None:
    assert LSINetLoss()(LOGIT, MASK.to(dtype)) == LSINetLoss()(LOGIT, MASK)


def test_a_mask_that_is_rounded_a_little_beyond_1_is_right() -> None:
    assert LSINetLoss()(LOGIT, MASK * (1 + 1e-6)).isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    logit = torch.randn(1, 1, 352, 352, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.ones_like(logit)
    loss = LSINetLoss()(logit, mask)
    assert loss.dtype == torch.float32
    assert loss == LSINetLoss()(logit.float(), mask.float())


def test_probabilities_in_place_of_logits_are_said() -> None:
    with pytest.warns(UserWarning, match=r"all logits .* lie in \[0, 1\], .* before the sigmoid"):
        LSINetLoss()(LOGIT.sigmoid(), MASK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LSINetLoss()([LOGIT.sigmoid(), LOGIT], MASK)
