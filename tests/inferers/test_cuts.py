from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers.cuts import find_cuts, is_cut, scene_likeness
from lsinet_monai.networks import Features


def _scene(seed: int) -> Tensor:
    """Positions that all look different, with something in common."""
    return 5 + torch.randn(1, 32, 12, 12, generator=torch.Generator().manual_seed(seed))


def _haze(scene: Tensor) -> Tensor:
    """A scene behind something that lowers its contrast, and has a pattern of its own."""
    return 0.3 * (0.7 * scene + 0.7 * _scene(9))


def _frames(*features: Tensor) -> list[Features]:
    return [Features((x, x, x), (), ()) for x in features]


def test_a_scene_is_like_itself_and_not_like_another() -> None:
    assert scene_likeness(_scene(0), _scene(0)).item() == pytest.approx(1)
    assert scene_likeness(_scene(0), _scene(1)).item() < 0.6


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, -2), (2, 1)])
def test_a_scene_may_move(right: int, down: int) -> None:
    moved = _scene(0).roll((down, right), (2, 3))
    assert scene_likeness(_scene(0), moved).item() > 0.75


def test_a_cut_is_where_neither_likeness_nor_a_way_back_is_left() -> None:
    (one,), (other,) = _frames(_scene(0)), _frames(_scene(1))
    (moved,) = _frames(_scene(0).roll((0, 3), (2, 3)))  # farther than a likeness looks
    assert scene_likeness(one.features[1], moved.features[1]).item() < 0.6
    assert [is_cut(one, later) for later in (one, moved, other)] == [False, False, True]


def _texture(seed: int) -> Tensor:
    """Eight patterns in an order of its own, with some noise: alike wherever it is looked at."""
    patterns = torch.randn(8, 32, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(8, (12, 12), generator=generator)
    return patterns[which].permute(2, 0, 1)[None] + 0.5 * torch.randn(1, 32, 12, 12, generator=generator)


def test_scenes_that_are_alike_by_chance_are_two() -> None:
    one, other = _texture(1), _texture(2)
    assert scene_likeness(one, other).item() > 0.7
    assert [is_cut(*_frames(one, later)) for later in (one.roll(1, 3), other)] == [False, True]


def test_a_less_clear_frame_needs_less() -> None:
    """Half of the later frame shows another scene."""
    scene, mixed = _texture(1), _texture(2)
    mixed[..., ::2] = scene[..., ::2]
    for contrast, expected in [(1.0, True), (0.2, False)]:
        earlier, later = _frames(scene, contrast * mixed)
        assert is_cut(earlier, later) == expected


def test_a_batch_of_clips() -> None:
    first, second = torch.cat([_scene(0), _scene(1)]), torch.cat([_scene(0), _scene(2)])
    expected = torch.cat([scene_likeness(first[i : i + 1], second[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(scene_likeness(first, second), expected)


def test_frames_that_show_nothing_are_passed_over() -> None:
    a, b, bad = _scene(0), _scene(1), torch.full_like(_scene(0), torch.nan)
    # Frames of two scenes: "." shows nothing, and "x" is not finite.
    for pattern, expected in [
        ("aab", [0, 0, 1]),
        (".a.ab", [0, 0, 0, 0, 1]),
        ("a.xb", [0, 0, 0, 1]),
        ("xba", [0, 0, 1]),
    ]:
        usable = [torch.tensor([letter != "."]) for letter in pattern]
        frames = _frames(*({"a": a, "b": b, "x": bad}.get(letter, _scene(9)) for letter in pattern))
        cuts, states = find_cuts(None, frames, usable)
        assert cuts == [bool(x) for x in expected]
        # In two parts it is the same.
        first, halfway = find_cuts(None, frames[:2], usable[:2])
        second, _ = find_cuts(halfway[-1], frames[2:], usable[2:])
        assert first + second == cuts
        assert torch.equal(states[-1].features, {"a": a, "b": b}[pattern[-1]])


def test_what_comes_between_for_a_while_is_no_cut() -> None:
    a, b = _scene(0), _scene(1)
    # "h" is haze before the first scene, and "u" another scene that is unclear.
    shown = {"a": a, "b": b, "h": _haze(a), "u": 0.3 * _scene(2)}
    for pattern, expected in [("ahha", [0, 0, 0, 0]), ("ahhb", [0, 0, 0, 1]), ("ahh", [0, 0, 0]), ("aua", [0, 1, 1])]:
        frames = _frames(*(shown[letter] for letter in pattern))
        cuts, states = find_cuts(None, frames, len(pattern) * [torch.tensor([True])])
        assert cuts == [bool(x) for x in expected]
        assert torch.equal(states[-1].features, shown[pattern[-1]])
