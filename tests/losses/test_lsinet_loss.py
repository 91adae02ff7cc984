from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.losses import LSINetLoss


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
