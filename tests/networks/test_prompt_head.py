from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, PromptHead, reduce_mask
from lsinet_monai.networks.prompt_head import check_prompt_head, check_prompts, draw_prompts

NARROW, BROAD, NOT_NARROW, NOT_BROAD, BOX, MASK = range(6)
NO_MASK = torch.zeros(1, 1, 16, 24)


def _draw(points: list[list[float]], labels: list[int], box: list[float] | None = None) -> Tensor:
    corners = None if box is None else torch.tensor([box])
    return draw_prompts(torch.tensor([points]), torch.tensor([labels]), corners, NO_MASK)[0]


def test_a_point_is_drawn_as_spots_about_its_cell() -> None:
    drawn = _draw([[42.0, 22.0]], [1])  # the centre of the cell 10, 5
    for spot, deviation in ((NARROW, 1.5), (BROAD, 6.0)):
        assert drawn[spot].flatten().argmax() == 5 * 24 + 10
        assert drawn[spot][5, 10] == 1
        assert drawn[spot][5, 13].item() == pytest.approx(math.exp(-(3**2) / (2 * deviation**2)))
        assert drawn[spot][9, 10].item() == pytest.approx(math.exp(-(4**2) / (2 * deviation**2)))
    assert not drawn[[NOT_NARROW, NOT_BROAD, BOX, MASK]].any()


def test_negative_points_have_their_own_maps_and_places_without_a_point_none() -> None:
    drawn = _draw([[42.0, 22.0], [10.0, 10.0]], [0, -1])
    assert not drawn[[NARROW, BROAD]].any()
    assert drawn[NOT_NARROW].flatten().argmax() == 5 * 24 + 10
    assert drawn[NOT_NARROW][2, 2] < 1e-3


def test_spots_do_not_add_up() -> None:
    once, twice = _draw([[42.0, 22.0]], [1]), _draw([[42.0, 22.0], [42.0, 22.0]], [1, 1])
    assert torch.equal(once, twice)


def test_a_box_is_filled_and_one_without_an_area_is_none() -> None:
    drawn = _draw([[0.0, 0.0]], [-1], [8.0, 12.0, 40.0, 28.0])
    assert drawn[BOX].sum() == (40 - 8) // 4 * ((28 - 12) // 4)
    assert drawn[BOX][3, 2] == 1
    assert not _draw([[0.0, 0.0]], [-1], [0.0, 0.0, 0.0, 0.0]).any()


def test_reduce_mask_averages_over_cells_and_leaves_the_padding_empty() -> None:
    mask = torch.zeros(1, 1, 40, 72)
    mask[..., :8, :6] = 1
    reduced = reduce_mask(mask, (40, 72))
    assert reduced.shape == (1, 1, 16, 24)  # of 64 x 96
    expected = torch.zeros(16, 24)
    expected[:2, 0], expected[:2, 1] = 1, 0.5
    torch.testing.assert_close(reduced[0, 0], expected)
    enlarged = mask.repeat_interleave(2, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(reduce_mask(enlarged, (40, 72))[0, 0], expected, atol=0.1, rtol=0)


@pytest.fixture(scope="module")
def head() -> PromptHead:
    torch.manual_seed(0)
    return PromptHead().eval()


def _inputs(batch: int = 1) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(1)
    return [torch.rand(batch, 32, 64 // s, 96 // s) for s in (8, 16, 32)], torch.randn(batch, 3, 64, 96)


@torch.no_grad()
def test_a_batch_is_segmented_row_by_row(head: PromptHead) -> None:
    features, frames = _inputs(2)
    points = torch.tensor([[[10.0, 12.0], [50.0, 40.0]], [[80.0, 30.0], [0.0, 0.0]]])
    labels = torch.tensor([[1, 0], [1, -1]])
    together = head(features, head.see_frame(frames), points, labels)
    assert together.shape == (2, 1, 16, 24)
    one = head([x[1:] for x in features], head.see_frame(frames[1:]), points[1:, :1], labels[1:, :1])
    torch.testing.assert_close(together[1:], one, atol=1e-5, rtol=1e-4)  # no place without a point counts


@torch.no_grad()
def test_every_prompt_acts(head: PromptHead) -> None:
    features, frames = _inputs()
    detail, points = head.see_frame(frames), torch.tensor([[[10.0, 12.0]]])
    nothing = head(features, detail, points, torch.tensor([[-1]]))
    others = [
        head(features, detail, points, torch.tensor([[1]])),
        head(features, detail, points, torch.tensor([[0]])),
        head(features, detail, points, torch.tensor([[-1]]), torch.tensor([[8.0, 8.0, 40.0, 40.0]])),
        head(features, detail, points, torch.tensor([[-1]]), None, torch.ones(1, 1, 16, 24)),
    ]
    for i, one in enumerate([nothing, *others]):
        for other in [nothing, *others][:i]:
            assert not torch.allclose(one, other)


def test_its_size() -> None:
    assert sum(p.numel() for p in PromptHead().parameters()) <= 1_000_000


def test_a_network_without_a_head_says_so(small_network: LSINet) -> None:
    with pytest.raises(InputError, match="no prompt head"):
        check_prompt_head(small_network.prompt_head)


POINTS, LABELS, DETAIL = torch.zeros(2, 3, 2), torch.zeros(2, 3), torch.zeros(2, 24, 16, 24)
WRONG = [
    ((POINTS[:1], LABELS, None, None), "points must be"),
    ((POINTS[:, :0], LABELS[:, :0], None, None), "points must be"),
    ((POINTS, LABELS[:, :2], None, None), "labels must be"),
    ((POINTS, LABELS, torch.zeros(4), None), "box must be"),
    ((POINTS, LABELS, None, torch.zeros(2, 1, 64, 96)), "mask must be"),
]


@pytest.mark.parametrize(("prompts", "message"), WRONG)
def test_prompts_of_other_shapes_are_refused(
    prompts: tuple[Tensor, Tensor, Tensor | None, Tensor | None], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_prompts(*prompts, DETAIL)
