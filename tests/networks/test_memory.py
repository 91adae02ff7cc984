from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.networks.memory import (
    KeysAndValues,
    MaskEmbedding,
    read_from,
    to_elements,
    weight_by_mask,
    weight_one_scale,
)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_keys_and_values_per_scale() -> None:
    keys, values = KeysAndValues()(tuple(_random(2, 32, side, side + 1) for side in (8, 4, 2)))
    assert [x.shape for x in keys] == [(2, 4, side, side + 1) for side in (8, 4, 2)]
    assert [x.shape for x in values] == [(2, 16, side, side + 1) for side in (8, 4, 2)]


def test_a_mask_is_resized_to_the_values() -> None:
    values, mask = torch.ones(1, 16, 2, 2), torch.zeros(1, 1, 16, 16)
    mask[..., :8, :8] = 1
    # Bilinear by 1/8 takes the middle of each 8x8 block: [[1, 0], [0, 0]].
    e = torch.e
    expected = 1 + torch.tensor([[e, 1], [1, 1]]) / (e + 3)
    torch.testing.assert_close(weight_one_scale(values, mask), expected.expand(1, 16, 2, 2))


def test_a_mask_has_little_effect_at_the_published_size() -> None:
    """At 352 x 352 the coarsest scale has 11 x 11 positions. One bright position has the largest weight."""
    values, mask = torch.ones(1, 16, 11, 11), torch.zeros(1, 1, 11, 11)
    mask[..., 5, 5] = 1
    assert 0.02 < weight_one_scale(values, mask).max() - 1 < 0.025


# (height and width of the frame, of its padding at stride 32)
@pytest.mark.parametrize(("size", "padded"), [((64, 96), (64, 96)), ((65, 70), (96, 96))])
def test_a_frames_mask_is_padded_like_the_frame(size: tuple[int, int], padded: tuple[int, int]) -> None:
    values = tuple(_random(1, 16, padded[0] // s, padded[1] // s, seed=s) for s in (8, 16, 32))
    mask = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    whole = F.pad(mask, (0, padded[1] - size[1], 0, padded[0] - size[0]))
    for weighted, value in zip(weight_by_mask(values, mask), values, strict=True):
        torch.testing.assert_close(weighted, weight_one_scale(value, whole))


def _trained_embedding() -> MaskEmbedding:
    """An embedding that gives the mask in each channel, at all scales."""
    embedding = MaskEmbedding()
    with torch.no_grad():
        for first, _, last in embedding.scales:
            first.weight.zero_()
            first.weight[:, :, 1, 1] = 1
            first.bias.zero_()
            last.weight.fill_(1 / 16)
    return embedding


def test_a_new_mask_embedding_is_zero() -> None:
    embedded = MaskEmbedding()([torch.rand(2, 1, side, side + 1) for side in (8, 4, 2)])
    assert [x.shape for x in embedded] == [(2, 16, side, side + 1) for side in (8, 4, 2)]
    assert all((x == 0).all() for x in embedded)


def test_a_given_mask_is_embedded_as_its_mean_at_each_position() -> None:
    values = tuple(_random(1, 16, 96 // s, 96 // s, seed=s) for s in (8, 16, 32))
    mask = torch.zeros(1, 1, 65, 70)
    mask[..., :12, :16] = 1
    plain, embedded = (weight_by_mask(values, mask, embedding) for embedding in (None, _trained_embedding()))
    # A position of stride 8 covers rows 0 to 7, the next one rows 8 to 15, of which 4 are polyp.
    for covered, before, after in zip(([1, 0.5], [0.75, 0], [0.1875, 0]), plain, embedded, strict=True):
        torch.testing.assert_close((after - before)[0, :, :2, 0], torch.tensor(covered).expand(16, 2))
        assert ((after - before)[..., 2:, 2:].abs() < 1e-6).all()


def test_elements_are_positions() -> None:
    x = _random(2, 4, 3, 5)
    assert to_elements(x).shape == (2, 15, 4)
    torch.testing.assert_close(to_elements(x)[1, 7], x[1, :, 1, 2])


def test_a_read_of_one_element_is_its_value() -> None:
    queries = [_random(2, 4, side, side) for side in (4, 2)]
    keys = [_random(2, 1, 4, seed=1) for _ in queries]
    values = [_random(2, 1, 16, seed=2) for _ in queries]
    for read, query, value in zip(read_from(queries, keys, values), queries, values, strict=True):
        torch.testing.assert_close(read, value[:, 0, :, None, None].expand(2, 16, *query.shape[2:]))
