from __future__ import annotations

import numpy as np
import pytest
import torch

from lsinet_monai.networks.harmonisation import PooledAttention

# (pool, height, width, pooled shape): a remainder is dropped, and a pool is limited to the features' size.
CASES = [(2, 4, 6, (2, 3)), (2, 5, 7, (2, 3)), (8, 11, 11, (1, 1)), (8, 4, 9, (1, 1)), (8, 2, 3, (1, 1))]


def _pool(x: np.ndarray, pool: int) -> np.ndarray:
    """(C, H, W) -> (C, N): the maximum of every whole window."""
    height, width = (min(pool, n) for n in x.shape[1:])
    rows, columns = x.shape[1] // height, x.shape[2] // width
    cropped = x[:, : rows * height, : columns * width]
    return cropped.reshape(-1, rows, height, columns, width).max((2, 4)).reshape(len(x), -1)


@pytest.mark.parametrize(("pool", "height", "width", "pooled"), CASES)
@torch.no_grad()
def test_against_the_definition(pool: int, height: int, width: int, pooled: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attend = PooledAttention(64, pool).double()
    for layer in (attend.value, attend.expand, attend.residual):
        torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(1, 64, height, width, dtype=torch.float64)

    def conv(layer: torch.nn.Conv2d, features: np.ndarray) -> np.ndarray:
        weight = layer.weight[:, :, 0, 0].numpy()
        return np.tensordot(weight, features, 1) + layer.bias.numpy().reshape(-1, *[1] * (features.ndim - 1))

    features = x[0].numpy()
    keys, values = _pool(features, pool), _pool(conv(attend.value, features), pool)
    assert keys.shape[1] == pooled[0] * pooled[1]
    scores = np.exp(features.reshape(64, -1).T @ keys)
    read = values @ (scores / scores.sum(1, keepdims=True)).T
    z = features + conv(attend.expand, read.reshape(32, height, width))
    expected = conv(attend.residual, np.concatenate([features, z]))
    np.testing.assert_allclose(attend(x)[0].numpy(), expected, atol=1e-8)
