from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from lsinet_monai.data import frames_to_tensor
from lsinet_monai.inferers import EMPTY_LOGIT, SequentialVideoInferer, VideoSession
from lsinet_monai.inferers.refining import find_deepest, redraw, refine
from lsinet_monai.networks import Features, LSINet

SIZE = (72, 100)  # 32 divides neither side
FRAME = Features(tuple(torch.zeros(2, 32, 3 * n, 4 * n) for n in (4, 2, 1)), (), ())


class FakeHead:
    """Takes the place of a network with a prompt head: its masks are what ``answer`` makes of the mask that it got."""

    def __init__(self, answer: float = 4.0) -> None:
        self.answer = answer
        self.asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def refine(
        self, frame: Features, detail: Tensor, points: Tensor, labels: Tensor, box: None, mask: Tensor
    ) -> Tensor:
        self.asked.append((points, labels, mask))
        return torch.where(mask > 0.5, self.answer, -self.answer)


def _square(top: int, left: int, side: int, size: tuple[int, int] = SIZE) -> Tensor:
    logit = torch.full((1, 1, *size), -2.0)
    logit[..., top : top + side, left : left + side] = 2.0
    return logit


def test_the_result_is_the_mean_of_both_probabilities() -> None:
    head = FakeHead()
    logit = torch.cat([_square(16, 20, 40), _square(0, 0, 0)])
    found = refine(head, FRAME, torch.zeros(2, 24, 24, 32), logit)  # type: ignore[arg-type]
    torch.testing.assert_close(found[1], logit[1])  # without a mask
    inner, outer = found[0, 0, 36, 40].sigmoid(), found[0, 0, 4, 90].sigmoid()
    own, drawn = torch.tensor([2.0, 4.0]).sigmoid()
    torch.testing.assert_close(inner, (own + drawn) / 2)
    torch.testing.assert_close(outer, 1 - (own + drawn) / 2)
    points, labels, mask = head.asked[0]
    assert labels.tolist() == [[1], [1]] and mask.shape == (2, 1, 24, 32)
    torch.testing.assert_close(points[0, 0], torch.tensor([40.0, 36.0]), atol=4.0, rtol=0)


def test_a_frame_that_was_left_empty_stays_so() -> None:
    logit = torch.full((1, 1, *SIZE), EMPTY_LOGIT)
    assert torch.equal(refine(FakeHead(), FRAME, torch.zeros(1, 24, 24, 32), logit), logit)  # type: ignore[arg-type]


def test_a_mask_is_drawn_again_without_a_point() -> None:
    head = FakeHead()
    found = redraw(head, FRAME, torch.zeros(1, 24, 24, 32), _square(16, 20, 40).sigmoid().round())  # type: ignore[arg-type]
    assert head.asked[0][1].tolist() == [[-1]]
    assert found.shape == (1, 1, *SIZE)
    assert ((found > 0.5) ^ (_square(16, 20, 40) > 0)).sum() <= 4  # corners are round


SHAPES = ["ellipse", "two parts", "at the border", "a line"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_deepest_place_of_a_mask(shape: str) -> None:
    y, x = np.mgrid[:40, :60]
    mask = {
        "ellipse": ((y - 20) / 9) ** 2 + ((x - 33) / 17) ** 2 < 1,
        "two parts": (abs(y - 12) + abs(x - 12) < 8) | ((y - 26) ** 2 + (x - 44) ** 2 < 90),
        "at the border": (y < 18) & (x > 40),
        "a line": (abs(y - x) < 2) & (x > 5) & (x < 30),
    }[shape]
    column, row = find_deepest(torch.from_numpy(mask)[None])[0, 0].tolist()
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    assert depth[row, column] >= 0.8 * depth.max()


def test_an_empty_mask_has_no_deepest_place() -> None:
    assert find_deepest(torch.zeros(2, 8, 8, dtype=torch.bool)).tolist() == [[[0, 0]], [[0, 0]]]


def _frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 64, 96, 3), np.uint8)


OPTIONS: Sequence[dict[str, object]] = [
    {}, {"adjacent": "previous"}, {"adjacent": "clearest", "detect_cuts": True, "smoothing": 0.4},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_the_inferer_refines_each_mask(prompt_network: LSINet, options: dict[str, object]) -> None:
    clip = frames_to_tensor(list(_frames(5)), (64, 96))[None]
    plain = SequentialVideoInferer(memory_interval=2, **options)(clip, prompt_network)  # type: ignore[arg-type]
    inferer = SequentialVideoInferer(memory_interval=2, refine=True, **options)  # type: ignore[arg-type]
    found = inferer(clip, prompt_network)
    engine = inferer.engine(prompt_network)
    for index in range(5):
        frame = clip[:, :, index]
        expected = refine(prompt_network, prompt_network.encode(frame), engine.see([frame])[0], plain[:, :, index])
        torch.testing.assert_close(found[:, :, index], expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, plain)

    # in pieces, from a saved state
    first = SequentialVideoInferer(memory_interval=2, refine=True, **options)  # type: ignore[arg-type]
    last = {"clip_id": "a", "is_last": True}
    overlap = int(first.adjacent != "previous")
    start = first(clip[:, :, : 3 + overlap], prompt_network, clip_id="a", frame_index=0, is_last=False)
    then = SequentialVideoInferer(memory_interval=2, refine=True, **options)  # type: ignore[arg-type]
    then.load_clip("a", first.save_clip("a"))
    rest = then(clip[:, :, 3:], prompt_network, frame_index=3, **last)  # type: ignore[arg-type]
    torch.testing.assert_close(torch.cat([start, rest], 2), found, atol=1e-5, rtol=1e-5)


def test_a_session_without_corrections_gives_the_same(prompt_network: LSINet) -> None:
    frames = _frames(4)
    inferer = SequentialVideoInferer(refine=True)
    logits = inferer(frames_to_tensor(list(frames), (64, 96))[None], prompt_network)
    session = VideoSession(prompt_network, frames, (64, 96), inferer)
    found = np.stack([probability for _, probability in session.propagate()])
    np.testing.assert_allclose(found, logits[0, 0].sigmoid().numpy(), atol=1e-5)


def test_a_network_without_a_head_is_refused(small_network: LSINet) -> None:
    inferer = SequentialVideoInferer(refine=True)
    with pytest.raises(ValueError, match="refine=True needs a network with a prompt head"):
        inferer.engine(small_network)
    with pytest.raises(ValueError, match="refine=True needs a network with a prompt head"):
        VideoSession(small_network, _frames(3), (64, 96), inferer)


class LargestAlone(FakeHead):
    """Draws the part of the mask on the left alone."""

    def refine(self, *args: Tensor, **kwargs: Tensor) -> Tensor:  # type: ignore[override]
        logit = super().refine(*args, **kwargs)  # type: ignore[arg-type]
        logit[..., 14:] = -self.answer
        return logit


def test_other_lesions_stay() -> None:
    logit = torch.maximum(_square(16, 4, 40), _square(30, 70, 20))
    found = refine(LargestAlone(), FRAME, torch.zeros(1, 24, 24, 32), logit)  # type: ignore[arg-type]
    assert (found[..., 34:46, 74:86] > 0).all() and (found[..., 20:52, 8:40] > 0).all()
    assert (found[..., 20:52, 50:60] < 0).all()


def test_a_speck_stays() -> None:
    logit = _square(16, 20, 4, (352, 352))
    frame = Features(tuple(torch.zeros(1, 32, n, n) for n in (44, 22, 11)), (), ())
    assert torch.equal(refine(FakeHead(), frame, torch.zeros(1, 24, 88, 88), logit), logit)  # type: ignore[arg-type]


def test_what_is_no_number_is_not_taken() -> None:
    logit = _square(16, 20, 40)
    head = FakeHead(float("nan"))
    assert torch.equal(refine(head, FRAME, torch.zeros(1, 24, 24, 32), logit), logit)  # type: ignore[arg-type]


def test_a_correction_is_carried_and_drawn_again(prompt_network: LSINet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lesions, of which the head moves one away: that one is not carried, and the other one is."""
    frame = _frames(1)[0]
    mask = np.zeros(frame.shape[:2], bool)
    mask[8:40, 8:40] = mask[16:40, 64:88] = True

    def refine(frame: Features, detail: Tensor, points: Tensor, labels: Tensor, box: None, mask: Tensor) -> Tensor:
        logit = torch.where(mask > 0.5, 5.0, -5.0)
        return logit if mask[..., :12].any() else -logit

    monkeypatch.setattr(prompt_network, "refine", refine)
    session = VideoSession(prompt_network, [frame] * 5, (64, 96), SequentialVideoInferer(refine=True))
    session.add_mask(2, mask)
    carried = list(session._corrections.carried_to(3).values())
    assert len(carried) == 1
    drawn, trust = carried[0].mask[0, 0] > 0.5, carried[0].trust[0, 0]
    assert drawn[12:36, 12:36].all() and not drawn[:, 48:].any()
    assert trust[12:36, 12:36].min() > 0.9 and trust[16:40, 64:88].max() == 0
    assert not session._corrections.carried_to(3, without=2)
    session.add_mask(2, mask & (np.arange(96) >= 48))  # the other lesion alone
    assert session._corrections.carried_to(3) == {2: None}
    assert not any(found.carried or found.change for found in session.propagate_from(2))
    session.add_mask(2, np.zeros_like(mask))  # no polyp
    (empty,) = session._corrections.carried_to(3).values()
    assert not empty.mask.any() and empty.trust.min() > 0.9
    assert {found.frame for found in session.propagate_from(2) if found.carried == (2,)} == {0, 1, 3, 4}


@pytest.mark.parametrize("batch", [1, 2])
def test_graphs_change_nothing(prompt_network: LSINet, backend: object, batch: int) -> None:
    from lsinet_monai.inferers.captured import CapturedCalls
    from lsinet_monai.inferers.frame_engine import FrameEngine

    calls = CapturedCalls(backend)  # type: ignore[arg-type]
    eager, captured = FrameEngine(prompt_network, None, None), FrameEngine(prompt_network, None, calls)
    clip = frames_to_tensor(list(_frames(4 * batch)), (64, 96)).movedim(1, 0)
    with torch.no_grad():
        for _ in range(3):
            frames = list(clip[: 2 * batch].split(batch))
            details = captured.see(frames)
            torch.testing.assert_close(torch.cat(details), torch.cat(eager.see(frames)))
            features = eager.encode(frames)
            logit = torch.randn(batch, 1, 64, 96, generator=torch.Generator().manual_seed(0))
            found = captured.refine(features[1], details[1], logit)
            torch.testing.assert_close(found, eager.refine(features[1], details[1], logit))


def test_work_that_a_cpu_saves_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = [_square(16, 20, 40), _square(0, 0, 0), *torch.randn(3, 1, 1, *SIZE, generator=generator)]
    masks += [torch.nn.functional.interpolate(torch.randn(1, 1, 6, 8, generator=generator), SIZE) for _ in range(5)]

    def results() -> list[Tensor]:
        return [refine(FakeHead(), FRAME, torch.zeros(1, 24, 24, 32), mask) for mask in masks]  # type: ignore[arg-type]

    expected = results()
    head = FakeHead()
    refine(head, FRAME, torch.zeros(1, 24, 24, 32), _square(0, 0, 0))  # type: ignore[arg-type]
    assert head.asked == []
    monkeypatch.setattr("lsinet_monai.inferers.refining._is_at_hand", lambda values: False)
    torch.testing.assert_close(results(), expected, rtol=0, atol=0)
