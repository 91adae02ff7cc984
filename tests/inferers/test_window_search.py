from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lsinet_monai.inferers.window_search import search_windows

SETTINGS = (0.1, 1.0, 8)  # of matching: temperature, motion and radius


def _places(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1).float()


def _search_all(queries: Tensor, keys: Tensor, expected: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Compare each query with all keys, in double precision."""
    queries, keys, expected, places = (x.double() for x in (queries, keys, expected, _places(*grid)))
    scores = queries @ keys.T / 0.1 - 0.5 * (expected[:, None] - places[None]).square().sum(2)
    weights = scores.softmax(1)
    return (weights @ places).float(), (weights @ keys).float()


def _unit_vectors(count: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, 32, generator=torch.Generator().manual_seed(seed)), dim=1)


# h and w of the grid, and the standard deviation of the places expected of neighbours, in cells; in the last case most
# are outside the grid
CASES = [
    ((36, 28), 0.5),
    ((28, 36), 6.0),
    ((17, 33), 3.0),
    ((40, 8), 3.0),
    ((4, 4), 1.0),
    ((1, 40), 1.0),
    ((8, 12), 20.0),
]


@pytest.mark.parametrize(("grid", "spread"), CASES)
def test_it_finds_what_a_search_of_the_whole_grid_finds(grid: tuple[int, int], spread: float) -> None:
    count = grid[0] * grid[1]
    expected = _places(*grid) + spread * torch.randn(count, 2, generator=torch.Generator().manual_seed(2))
    arguments = (_unit_vectors(count), _unit_vectors(count, 1), expected, grid)
    for found, known in zip(search_windows(*arguments, *SETTINGS), _search_all(*arguments), strict=True):
        torch.testing.assert_close(found, known, atol=1e-4, rtol=0)


@pytest.mark.parametrize("distance", [3, 8, 9, 12, 30])
def test_even_opposite_features_nearby_weigh_more_than_equal_ones_outside_the_window(distance: int) -> None:
    grid = (1, 64)
    keys = -torch.ones(64, 1)
    keys[distance] = 1
    arguments = (torch.ones(64, 1), keys, torch.zeros(64, 2), grid)
    for found, known in zip(search_windows(*arguments, *SETTINGS), _search_all(*arguments), strict=True):
        torch.testing.assert_close(found, known, atol=1e-4, rtol=0)


def test_a_frame_of_nan_has_no_places() -> None:
    grid = (20, 20)
    keys = _unit_vectors(400)
    nan = torch.full((400, 2), torch.nan)
    places, _ = search_windows(keys, keys, nan, grid, *SETTINGS)
    assert places.isnan().all()


class _LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_memory_grows_with_the_area() -> None:
    largest = []
    for side in (48, 96):
        keys = _unit_vectors(side * side)
        with _LargestTensor() as seen:
            search_windows(keys, keys, _places(side, side), (side, side), *SETTINGS)
        largest.append(seen.elements)
    assert largest[1] <= 4 * largest[0]
    assert largest[1] < 96**4 / 100  # a comparison of all with all
