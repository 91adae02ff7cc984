"""Look up positions of one grid in another one, each near the place where it is expected."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["search_windows"]

# The positions of a tile of this side share one window. Smaller tiles compare fewer positions, in more steps: 16 is the
# fastest, or nearly so, on grids from 44 x 44 to 128 x 128.
_TILE = 16


def search_windows(
    queries: Tensor,
    keys: Tensor,
    expected: Tensor,
    grid: tuple[int, int],
    temperature: float,
    motion: float,
    radius: int,
) -> tuple[Tensor, Tensor]:
    """For each query, average the places and the keys around the expected place, weighted by a softmax of scores.

    A key's score is its product with the query, divided by ``temperature``, minus half of its squared distance from the
    expected place, in units of ``motion``. All places within ``radius`` in x and in y are compared, and some more,
    because queries that are next to one another share a window. So memory and time grow with the area of the grid, not
    with its square.

    Args:
        queries: (h * w, C), row by row.
        keys: (h * w, C).
        expected: (h * w, 2): x and y where each query is expected among the keys, in cells of the grid. Outside the
            grid, the window is at the nearest place inside it.
        grid: h and w.
        temperature: the smaller, the more the best key counts.
        motion: the standard deviation of a place around the expected one, in cells.
        radius: in cells.

    Returns:
        the mean place, x and y, (h * w, 2), and the mean key, (h * w, C).
    """
    height, width = grid
    y, x = (torch.arange(side, device=keys.device, dtype=keys.dtype) for side in grid)
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2)
    queries, keys, expected = (each.view(height, width, -1) for each in (queries, keys, expected))
    content = torch.cat([places, keys], 2)
    tiles = [
        (slice(top, top + _TILE), slice(left, left + _TILE))
        for top in range(0, height, _TILE)
        for left in range(0, width, _TILE)
    ]
    # NaN, from a frame of NaN, has no place, and any window will do.
    inside = expected.nan_to_num().clamp(min=torch.zeros_like(places[0, 0]), max=places[-1, -1])
    bounds = [torch.cat([inside[tile].amin((0, 1)).floor(), inside[tile].amax((0, 1)).ceil()]) for tile in tiles]
    means = torch.empty_like(content)
    for tile, (x_min, y_min, x_max, y_max) in zip(tiles, torch.stack(bounds).int().tolist(), strict=True):
        rows = slice(max(0, y_min - radius), y_max + radius + 1)
        columns = slice(max(0, x_min - radius), x_max + radius + 1)
        window = content[rows, columns].flatten(0, 1)
        here = expected[tile].flatten(0, 1)
        scores = queries[tile].flatten(0, 1) @ window[:, 2:].T / temperature
        by_row = scores.view(len(here), len(y[rows]), len(x[columns]))
        by_row -= (here[:, 1:] - y[rows]).div(motion).square().div(2).unsqueeze(2)
        by_row -= (here[:, :1] - x[columns]).div(motion).square().div(2).unsqueeze(1)
        means[tile] = (scores.softmax(1) @ window).view_as(means[tile])
    return means[..., :2].flatten(0, 1), means[..., 2:].flatten(0, 1)
