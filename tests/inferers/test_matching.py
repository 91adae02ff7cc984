from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.inferers.matching import Match, match_features, share_that_comes_back

SIDE = 16


def _features(seed: int = 0) -> Tensor:
    """Positions that all look different."""
    return torch.randn(1, 32, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def _move(x: Tensor, right: int, down: int) -> Tensor:
    return x.roll((down, right), (2, 3))


def _inside(x: Tensor, margin: int) -> Tensor:
    return x[..., margin:-margin, margin:-margin]


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, -1), (2, 1)])
def test_a_match_finds_what_moved(right: int, down: int) -> None:
    corrected = _features()
    match = match_features(corrected, _move(corrected, right, down), Match.identity(corrected))
    expected = torch.tensor([-right, -down]).float().view(1, 2, 1, 1).expand_as(match.displacement)
    torch.testing.assert_close(_inside(match.displacement, 4), _inside(expected, 4), atol=0.1, rtol=0)
    assert _inside(match.likeness, 4).min() > 0.99


def test_a_match_starts_from_the_one_before() -> None:
    corrected = _features()
    match = Match.identity(corrected)
    for steps in range(1, 6):
        match = match_features(corrected, _move(corrected, steps, 0), match)
    assert torch.allclose(match.displacement[0, 0, 5:-5, 7:-7], torch.tensor(-5.0), atol=0.1)


@pytest.mark.parametrize(("height", "width"), [(20, 28), (28, 8), (4, 4)])
def test_a_match_is_that_of_a_comparison_with_the_whole_frame(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    corrected = torch.randn(1, 32, height, width, generator=generator)
    current = _move(corrected, 2, -1) + 0.5 * torch.randn(1, 32, height, width, generator=generator)
    before = Match(torch.randn(1, 2, height, width, generator=generator), torch.ones(1, 1, height, width))
    match = match_features(corrected, current, before)

    keys, queries = (F.normalize(x - x.mean((2, 3), keepdim=True), dim=1)[0].flatten(1).T for x in (corrected, current))
    places = torch.tensor([(x, y) for y in range(height) for x in range(width)]).float()
    distances = torch.cdist(places + before.displacement[0].flatten(1).T, places)
    weights = (10 * queries @ keys.T - distances**2 / 2).softmax(1)
    displacement = (weights @ places - places).T.view(1, 2, height, width)
    displacement = F.avg_pool2d(displacement, 3, stride=1, padding=1, count_include_pad=False)
    likeness = (2 * F.cosine_similarity(weights @ keys, queries)).clamp(0, 1).view(1, 1, height, width)
    torch.testing.assert_close(match, Match(displacement, likeness), atol=1e-4, rtol=0)


def test_what_looks_different_is_not_trusted() -> None:
    corrected = _features()
    match = match_features(corrected, _features(1), Match.identity(corrected))
    same = match_features(corrected, corrected, Match.identity(corrected))
    assert match.likeness.mean() < 0.8 < 0.99 < same.likeness.mean()


def test_what_moves_comes_back_and_another_scene_does_not() -> None:
    corrected = _features()
    start = Match.identity(corrected)
    assert share_that_comes_back(corrected, corrected, start) == 1
    assert share_that_comes_back(corrected, _move(corrected, 2, 1), start) > 0.8  # not what left the frame
    assert share_that_comes_back(corrected, _features(1), start) < 0.6


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_features_of_any_type(dtype: torch.dtype) -> None:
    features = _features().to(dtype)
    match = match_features(features, _move(features, 1, 0), Match.identity(features))
    assert {part.dtype for part in (*match, *Match.identity(features))} == {torch.float32}
    assert share_that_comes_back(features, features, Match.identity(features)) == 1
