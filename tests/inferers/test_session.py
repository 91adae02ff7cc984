from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.data import phantom_clip, resize_frame
from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import MemoryBank, SequentialVideoInferer, VideoSession, encode_frames, segment_frame
from lsinet_monai.masks import logit_to_probability, mask_change
from lsinet_monai.metrics import frame_dice
from lsinet_monai.networks import Features, LSINet, load_checkpoint
from lsinet_monai.networks.memory import weight_by_mask

SIZE = (48, 80)  # of a frame
IMAGE = 64  # for the network
FRAMES = 10
OFTEN = {"memory_interval": 2, "memory_frames": 2}

MASK = np.zeros(SIZE, bool)
MASK[16:32, 24:56] = True
EMPTY = np.zeros(SIZE, bool)


class Source:
    """A video with damaged frames that counts how often each frame is read."""

    def __init__(self, frames: list[np.ndarray], damaged: tuple[int, ...] = ()) -> None:
        self.frames = frames
        self.damaged = damaged
        self.read: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> np.ndarray:
        self.read[index] += 1
        if index in self.damaged:
            raise InputError(f"frame {index} is damaged")
        return self.frames[index]


def _frames(count: int = FRAMES, seed: int = 0) -> list[np.ndarray]:
    """A scene that changes a little from frame to frame."""
    rng = np.random.default_rng(seed)
    scene = rng.uniform(40, 215, (*SIZE, 3)) + rng.normal(0, 8, (count, *SIZE, 3)).cumsum(0)
    return list(scene.clip(0, 255).astype(np.uint8))


def _session(network: LSINet, source: Any = None, **options: Any) -> VideoSession:
    return VideoSession(network, _frames() if source is None else source, IMAGE, **options)


def _propagate(session: VideoSession, *arguments: Any, **options: Any) -> dict[int, np.ndarray]:
    return dict(session.propagate(*arguments, **options))


def _assert_same(result: dict[int, np.ndarray], expected: dict[int, np.ndarray]) -> None:
    assert list(result) == list(expected)
    for frame, probability in result.items():
        np.testing.assert_allclose(probability, expected[frame], atol=1e-5)


@pytest.mark.parametrize("encode_batch", [1, 4])
@pytest.mark.parametrize(("adjacent", "smoothing"), [("next", 0), ("previous", 0), ("clearest", 0.4)])
def test_without_corrections_it_is_the_inferer(
    small_network: LSINet, adjacent: str, smoothing: float, encode_batch: int
) -> None:
    inferer = SequentialVideoInferer(adjacent=adjacent, encode_batch=encode_batch, smoothing=smoothing, **OFTEN)
    clip = frames_to_tensor(_frames(), IMAGE)[None]
    logits = F.interpolate(inferer(clip, small_network)[0, 0][:, None], SIZE, mode="bilinear", align_corners=False)
    expected = dict(enumerate(torch.sigmoid(logits)[:, 0].numpy()))
    result = _propagate(_session(small_network, inferer=inferer))
    _assert_same(result, expected)
    assert result[0].dtype == np.float32


GIVEN = [
    (MASK, MASK),
    (EMPTY, EMPTY),
    (MASK[None], MASK),
    (7 * MASK.astype(np.uint8), MASK),
    (torch.from_numpy(MASK)[None], MASK),
    (255 * torch.from_numpy(MASK).to(torch.uint8), MASK),
]


@pytest.mark.parametrize(("given", "mask"), GIVEN)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_corrected_frames_mask_is_returned_as_given(
    small_network: LSINet, given: Any, mask: np.ndarray, reverse: bool
) -> None:
    session = _session(small_network)
    session.add_mask(2, given)
    result = _propagate(session, 1, 5, reverse=reverse)
    assert list(result) == ([4, 3, 2, 1] if reverse else [1, 2, 3, 4])
    np.testing.assert_array_equal(result[2], mask.astype(np.float32))
    np.testing.assert_array_equal(session.masks[2], mask)


def test_the_last_mask_of_a_frame_counts(small_network: LSINet) -> None:
    session, expected = _session(small_network), _session(small_network)
    session.add_mask(2, EMPTY)
    _propagate(session)
    for each in (session, expected):
        each.add_mask(2, MASK)
    _assert_same(_propagate(session), _propagate(expected))


@pytest.mark.parametrize("reverse", [False, True])
def test_more_corrected_frames_than_the_memory_holds(small_network: LSINet, reverse: bool) -> None:
    masks = {frame: np.roll(MASK, frame, axis=1) for frame in range(0, FRAMES, 2)}
    session = _session(small_network, inferer=SequentialVideoInferer(**OFTEN))
    for frame, mask in masks.items():
        session.add_mask(frame, mask)
    result = _propagate(session, reverse=reverse)
    for frame, mask in masks.items():
        np.testing.assert_array_equal(result[frame], mask)


@torch.no_grad()
def test_corrected_frames_are_in_memory_from_the_first_frame_on(small_network: LSINet) -> None:
    frames, corrected = _frames(12), (1, 2, 4, 5, 7, 8, 10, 11)  # as many as the memory takes
    features = [encode_frames([frame], small_network)[0] for frame in frames_to_tensor(frames, IMAGE)[None].unbind(2)]
    session, memory = _session(small_network, frames, reach=0), MemoryBank(35)
    for frame in corrected:
        session.add_mask(frame, EMPTY)
        mask = torch.zeros(1, 1, IMAGE, IMAGE)
        memory.write(features[frame].keys, weight_by_mask(features[frame].values, mask), permanent=True)
    result = _propagate(session)
    for frame in (0, 3, 6, 9):
        logits = segment_frame(features[frame], features[frame + 1], memory, small_network, write=frame % 5 == 0)
        logit = small_network.upsample_logits(logits, (IMAGE, IMAGE))[-1]
        expected = logit_to_probability(logit, SIZE)[0, 0].numpy()
        np.testing.assert_allclose(result[frame], expected, atol=1e-5)


THIRDS = range(0, 30, 3)


@pytest.fixture
def many(small_network: LSINet) -> VideoSession:
    """A session with more corrections than the memory takes."""
    session = _session(small_network, _frames(30), inferer=SequentialVideoInferer(**OFTEN))
    for frame in THIRDS:
        session.add_mask(frame, np.roll(MASK, frame, axis=1))
    return session


def _permanent_keys(session: VideoSession, path: Path) -> Tensor:
    """The keys of the permanent frames in a session's memory at stride 32, (1, frames * 4, 4)."""
    session.save(path)
    memory = torch.load(path, weights_only=True)["propagation"]["memory"]
    assert memory["permanent"] == [8 * 64, 8 * 16, 8 * 4]
    return memory["scales"][2]["keys"][:, : 8 * 4]


@torch.no_grad()
def test_the_memory_holds_the_nearest_corrected_frames(many: VideoSession, tmp_path: Path) -> None:
    clip = frames_to_tensor(many.source, IMAGE)[None].unbind(2)
    keys = {frame: encode_frames([clip[frame]], many.network)[0].keys[2].flatten(2).mT for frame in THIRDS}
    first_in_memory = {11: 0, 13: 3, 14: 3, 17: 6}
    for frame, _ in many.propagate(11, 18):
        if frame in first_in_memory:
            first = first_in_memory[frame]
            expected = torch.cat([keys[other] for other in range(first, first + 8 * 3, 3)], 1)
            torch.testing.assert_close(_permanent_keys(many, tmp_path / "session.pt"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("reverse", [False, True])
def test_it_resumes_within_a_stretch_between_many_corrections(
    many: VideoSession, tmp_path: Path, reverse: bool
) -> None:
    whole = _propagate(many, 10, 20, reverse=reverse)
    first, second = ((14, 20), (10, 14)) if reverse else ((10, 17), (17, 20))
    result = _propagate(many, *first, reverse=reverse)
    many.save(tmp_path / "session.pt")
    again = VideoSession.load(tmp_path / "session.pt", many.network, many.source)
    _assert_same(result | _propagate(again, *second, reverse=reverse), whole)
    _assert_same(result | _propagate(many, *second, reverse=reverse), whole)


def test_corrected_frames_are_encoded_in_batches_and_once(many: VideoSession, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    encode = LSINet.encode

    def count(network: LSINet, frames: Tensor, *arguments: Any) -> Features:
        batches.append(len(frames))
        return encode(network, frames, *arguments)

    monkeypatch.setattr(LSINet, "encode", count)
    propagation = many.propagate(13)
    next(propagation)
    assert batches[:3] == [1, 4, 4]  # the first frame, the eight nearest, and then the frames around the first
    batches.clear()
    next(many.propagate(14))
    assert sum(batches) <= 2  # the frame and the one after it


def test_a_correction_during_a_propagation(small_network: LSINet) -> None:
    session, expected = _session(small_network), _session(small_network)
    for frame, probability in session.propagate():
        if frame == 3:
            session.add_mask(6, MASK)
        if frame == 6:
            np.testing.assert_array_equal(probability, MASK)
    expected.add_mask(6, MASK)
    _assert_same(_propagate(session), _propagate(expected))


def test_with_a_mask_embedding_the_memory_listens_to_a_correction(
    small_network: LSINet, embedding_network: LSINet
) -> None:
    effects = []
    for network in (small_network, embedding_network):
        results = []
        for mask in (MASK, ~MASK):
            session = _session(network, reach=0)
            session.add_mask(4, mask)
            results.append(_propagate(session))
        effects.append(max(np.abs(results[0][frame] - results[1][frame]).max() for frame in (3, 5)))
    assert effects[1] > 10 * effects[0] > 0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", [MASK, EMPTY])
def test_a_correction_acts_on_both_sides(small_network: LSINet, mask: np.ndarray, reverse: bool) -> None:
    session = _session(small_network, [_frames(1)[0]] * 7)  # where nothing moves, neighbours have the mask itself
    session.add_mask(3, mask)
    result = _propagate(session, reverse=reverse)
    for frame in (1, 2, 4, 5):
        assert frame_dice(result[frame] > 0.5, mask) > 0.9


def test_a_mask_follows_what_moves(small_network: LSINet) -> None:
    scene = np.random.default_rng(0).integers(0, 255, (10, 20, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    frames = [scene[:, 80 - 8 * t : 240 - 8 * t] for t in range(5)]  # of 160 x 160, by 8 to the right each time
    mask = np.zeros((160, 160), bool)
    mask[40:100, 40:100] = True
    session = VideoSession(small_network, frames, 160)
    session.add_mask(0, mask)
    for t, probability in session.propagate():
        assert frame_dice(probability > 0.5, np.roll(mask, 8 * t, axis=1)) > 0.9


def test_beyond_its_reach_a_mask_is_in_memory_only(small_network: LSINet) -> None:
    results = []
    for reach in (0, 2):
        session = _session(small_network, reach=reach)
        session.add_mask(5, EMPTY)
        results.append(_propagate(session))
    for frame in range(FRAMES):
        same = np.allclose(results[0][frame], results[1][frame], atol=1e-5)
        assert same == (frame not in (3, 4, 6, 7))


# corrected frames, a frame, and the frames on which its correction acts with a reach of 3
REACHED = [
    ([], 5, range(2, 9)),
    ([5], 5, range(2, 9)),
    ([], 1, range(0, 5)),
    ([], 8, range(5, 10)),
    ([3, 7], 5, range(4, 7)),
    ([3, 4, 5], 4, range(4, 5)),
]


@pytest.mark.parametrize(("corrected", "frame", "expected"), REACHED)
def test_reached_from(small_network: LSINet, corrected: list[int], frame: int, expected: range) -> None:
    session = _session(small_network, reach=3)
    for other in corrected:
        session.add_mask(other, MASK)
    assert session.reached_from(frame) == expected


def test_propagate_from_reports_the_change(small_network: LSINet) -> None:
    session = _session(small_network, reach=3)
    session.add_mask(7, EMPTY)
    session.add_mask(5, MASK)
    results = list(session.propagate_from(5))
    assert [result.frame for result in results] == [4, 3, 2, 6]
    # The mask covers pixels that frame 7's empty mask, or the network, leaves empty.
    assert all(0 <= result.change <= 1 for result in results) and results[0].change > 0


@pytest.mark.parametrize(("other", "changed"), [(4, 6), (6, 4)])
def test_a_correction_equal_to_another_one_changes_nothing(small_network: LSINet, other: int, changed: int) -> None:
    # Nothing moves, so the first correction carries its mask to all frames, also to those after the second one.
    session = _session(small_network, [_frames(1)[0]] * FRAMES)
    session.add_mask(other, MASK)
    session.add_mask(5, MASK)
    changes = {result.frame: result.change for result in session.propagate_from(5)}
    assert changes[changed] < 0.05
    session.remove_mask(other)
    changes = {result.frame: result.change for result in session.propagate_from(5)}
    assert changes[changed] > 0.5


def test_the_change_compares_with_the_same_frame_without_the_carried_mask(small_network: LSINet) -> None:
    # With a reach of 0 the same frames are in memory, and no mask is carried.
    session, memory_only = _session(small_network, reach=3), _session(small_network, reach=0)
    for each in (session, memory_only):
        each.add_mask(4, MASK)
    before = _propagate(memory_only, 0, 4, reverse=True) | _propagate(memory_only, 5, FRAMES)
    results = list(session.propagate_from(4))
    assert len(results) == 6
    for frame, probability, change, carried in results:
        assert carried == (4,) and change == mask_change(before[frame] > 0.5, probability > 0.5)
    # So it is not the difference from a network that never saw the correction.
    never = _propagate(_session(small_network), 5, FRAMES)
    assert not np.allclose(never[5], before[5], atol=1e-5)


def test_propagate_from_gives_what_propagate_gives(small_network: LSINet) -> None:
    session = _session(small_network)
    session.add_mask(4, MASK)
    found = {result.frame: result.probability for result in session.propagate_from(4)}
    expected = _propagate(session, 0, 4, reverse=True) | _propagate(session, 5, FRAMES)
    _assert_same(found, expected)


@pytest.mark.parametrize("options", [{}, {"adjacent": "clearest", "smoothing": 0.4, "detect_cuts": True}])
@pytest.mark.parametrize(("frame", "order"), [(4, [3, 5, 2, 6, 1, 7]), (1, [0, 2, 3, 4]), (9, [8, 7, 6])])
def test_the_nearest_frames_first_with_the_same_values(
    small_network: LSINet, options: dict[str, Any], frame: int, order: list[int]
) -> None:
    session = _session(small_network, reach=3, inferer=SequentialVideoInferer(**OFTEN, **options))
    session.add_mask(frame, MASK)
    expected = {found.frame: found for found in session.propagate_from(frame)}
    found = list(session.propagate_from(frame, nearest_first=True))
    assert [each.frame for each in found] == order and sorted(order) == sorted(expected)
    for each in found:
        np.testing.assert_array_equal(each.probability, expected[each.frame].probability)
        assert each.change == expected[each.frame].change


def test_the_first_frame_waits_for_no_others(small_network: LSINet) -> None:
    source = Source(_frames(20), damaged=(8,))
    session = _session(small_network, source)
    session.add_mask(10, MASK)
    found = session.propagate_from(10, nearest_first=True)
    assert next(found).frame == 9 and max(source.read) == 10
    assert [each.frame for each in found][:4] == [11, 7, 12, 6]  # without the damaged one


def test_a_mask_that_is_replaced_spreads_without_reading_a_frame_again(small_network: LSINet) -> None:
    source = Source(_frames(20))
    session = _session(small_network, source, reach=5, kept_frames=13)
    for mask in (MASK, EMPTY, MASK):
        session.add_mask(10, mask)
        source.read.clear()
        assert len(list(session.propagate_from(10, nearest_first=True))) == 10
    assert not source.read


def test_frames_are_encoded_ahead(small_network: LSINet) -> None:
    source = Source(_frames(20), damaged=(9,))
    session = _session(small_network, source)
    session.encode([10, 9, 8, 11, 12])
    session.add_mask(10, MASK)
    source.read.clear()
    assert [next(session.propagate_from(10, nearest_first=True)).frame] == [8] and 8 not in source.read
    with pytest.raises(InputError, match="there is no frame 20"):
        session.encode([20])


def test_frames_that_come_in_the_networks_size_give_the_same_masks(small_network: LSINet) -> None:
    small = [resize_frame(frame, (IMAGE, IMAGE)) for frame in _frames()]
    whole, resized = _session(small_network), _session(small_network, small, frame_size=SIZE)
    for session in (whole, resized):
        session.add_mask(4, MASK)
    _assert_same(_propagate(resized), _propagate(whole))
    with pytest.raises(InputError, match="without frame_size"):
        resized.add_points(4, [[1, 1]], [1])


def test_a_correction_that_is_taken_back_leaves_nothing(small_network: LSINet) -> None:
    session = _session(small_network)
    expected = _propagate(session)
    session.add_mask(4, EMPTY)
    _propagate(session)
    session.remove_mask(4)
    _assert_same(_propagate(session), expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("options", [{}, {"adjacent": "clearest", "smoothing": 0.4}])
def test_it_resumes_with_its_memory(
    small_network: LSINet, tmp_path: Path, options: dict[str, Any], reverse: bool
) -> None:
    session = _session(small_network, inferer=SequentialVideoInferer(**OFTEN, **options))
    session.add_mask(2, MASK)
    whole = _propagate(session, reverse=reverse)
    first, second = ((5, FRAMES), (0, 5)) if reverse else ((0, 5), (5, FRAMES))
    result = _propagate(session, *first, reverse=reverse)
    session.save(tmp_path / "session.pt")
    again = VideoSession.load(tmp_path / "session.pt", small_network, _frames())
    _assert_same(result | _propagate(again, *second, reverse=reverse), whole)
    _assert_same(result | _propagate(session, *second, reverse=reverse), whole)


def test_it_resumes_where_it_was_left(small_network: LSINet) -> None:
    session = _session(small_network, inferer=SequentialVideoInferer(**OFTEN))
    whole = _propagate(session)
    for frame, _ in session.propagate():
        if frame == 3:
            break
    _assert_same(_propagate(session, 4), {frame: whole[frame] for frame in range(4, FRAMES)})


# reach, encode_batch and corrected frames
ENCODED = [
    (4, 3, [9]),
    (0, 5, [2, 14]),
    (7, 1, [5, 14, 15, 19]),
    pytest.param(4, 1, [9], marks=pytest.mark.slow),
    pytest.param(7, 3, [], marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adjacent", "reverse"),
    [
        ("next", False),
        ("previous", True),
        pytest.param("next", True, marks=pytest.mark.slow),
        pytest.param("previous", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("reach", "encode_batch", "corrected"), ENCODED)
def test_a_propagation_encodes_each_frame_once_but_corrected_ones(
    small_network: LSINet, reach: int, encode_batch: int, corrected: list[int], reverse: bool, adjacent: str
) -> None:
    source = Source(_frames(20))
    inferer = SequentialVideoInferer(encode_batch=encode_batch, adjacent=adjacent)
    session = _session(small_network, source, reach=reach, inferer=inferer)
    for frame in corrected:
        session.add_mask(frame, MASK)
    source.read.clear()
    assert len(_propagate(session, reverse=reverse)) == 20
    assert all(source.read[frame] == 1 for frame in range(20) if frame not in corrected)


@pytest.mark.slow
@pytest.mark.parametrize("held", [True, False])
def test_a_later_propagation_encodes_frames_that_are_no_longer_held(small_network: LSINet, held: bool) -> None:
    source = Source(_frames(12))
    session = _session(small_network, source, reach=8 if held else 0)  # 12 or 4 frames are held
    for _ in range(2):
        _propagate(session, 0, 12)
    assert set(source.read.values()) == {1 if held else 2}


def test_damaged_frames_are_left_out(small_network: LSINet) -> None:
    session = _session(small_network, Source([_frames(1)[0]] * 8, damaged=(0, 3)))
    session.add_mask(2, MASK)
    result = _propagate(session)
    assert list(result) == [1, 2, 4, 5, 6, 7]
    assert frame_dice(result[4] > 0.5, MASK) > 0.9  # the mask is carried over the gap
    with pytest.raises(InputError, match="frame 3 is damaged"):
        session.add_mask(3, MASK)


def test_damaged_frames_leave_the_memory_as_if_they_were_not_there(small_network: LSINet) -> None:
    frames, inferer = _frames(), SequentialVideoInferer(memory_interval=3, memory_frames=2, adjacent="previous")
    damaged = (0, 3, 6)
    result = _propagate(_session(small_network, Source(frames, damaged), inferer=inferer))
    expected = _propagate(_session(small_network, [frames[i] for i in result], inferer=inferer))
    # Next to a gap another frame is the adjacent one.
    for i, frame in enumerate(result):
        if frame - 1 not in damaged:
            np.testing.assert_allclose(result[frame], expected[i], atol=1e-5)


def _poison(network: LSINet, monkeypatch: pytest.MonkeyPatch, bad: np.ndarray) -> None:
    """Let the encoder give NaN for frames that equal one."""
    encode, tensor = network.encode, frames_to_tensor([bad], (IMAGE, IMAGE))[:, 0]

    def poisoned(frames: torch.Tensor, amp_dtype: torch.dtype | None = None) -> Features:
        features = encode(frames, amp_dtype)
        is_bad = torch.tensor([torch.equal(frame, tensor) for frame in frames])[:, None, None, None]
        return Features(*(tuple(torch.where(is_bad, torch.nan, x) for x in kind) for kind in features))

    monkeypatch.setattr(network, "encode", poisoned)


def test_a_correction_meanwhile_does_not_hide_a_skipped_write(
    small_network: LSINet, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [_frames(1)[0]] * 8
    frames[4] = np.zeros_like(frames[4])
    session = _session(small_network, frames, inferer=SequentialVideoInferer(**OFTEN))
    for frame, _ in session.propagate():
        if frame == 6:
            session.add_mask(2, MASK)
    assert session.skipped_writes == 1
    assert "or without numbers: 1" in caplog.text


def test_a_propagation_from_a_correction_reports_skipped_writes(
    small_network: LSINet, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [_frames(1)[0]] * 8
    frames[4] = np.zeros_like(frames[4])
    session = _session(small_network, frames, inferer=SequentialVideoInferer(memory_interval=1))
    session.add_mask(2, MASK)
    assert {around.frame: around.carried for around in session.propagate_from(2)}[4] == ()
    assert next(line for line in caplog.messages if "writes to memory skipped" in line).endswith("numbers: 1")


@pytest.mark.parametrize("corrected", [2, 4])
def test_a_frame_without_finite_features_is_left_empty_and_acts_on_no_other(
    small_network: LSINet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, corrected: int
) -> None:
    frames = [_frames(1)[0]] * 8
    frames[4] = frames[4] ^ 255
    _poison(small_network, monkeypatch, frames[4])
    session = _session(small_network, frames, inferer=SequentialVideoInferer(**OFTEN))
    plain = _propagate(session)
    assert list(plain) == list(range(8)) and all(np.isfinite(x).all() for x in plain.values())
    assert not plain[4].any() and session.skipped_writes == 1
    assert any("frame 4" in line for line in caplog.messages)
    session.add_mask(corrected, MASK)
    result = _propagate(session)
    assert all(np.isfinite(x).all() for x in result.values())
    if corrected == 2:
        assert frame_dice(result[5] > 0.5, MASK) > 0.9  # the mask is carried over the bad frame
        assert not result[4].any()
    else:
        np.testing.assert_array_equal(result[4], MASK)
        np.testing.assert_allclose(result[5], plain[5], atol=1e-5)


@pytest.mark.parametrize("corrected", [None, 2])
def test_a_black_frame_is_not_written(small_network: LSINet, corrected: int | None) -> None:
    frames = _frames(6)
    frames[2] = np.zeros_like(frames[2])
    session = _session(small_network, frames, inferer=SequentialVideoInferer(memory_interval=2, adjacent="previous"))
    if corrected is not None:
        session.add_mask(corrected, EMPTY)
    _propagate(session)
    memory = session._propagation.memory
    assert memory.sizes[0].tolist() == [2 * 64, 2 * 16, 2 * 4]  # frames 0 and 4


BAD_CALLS = [
    (lambda session: session.add_mask(FRAMES, MASK), "there is no frame 10"),
    (lambda session: session.add_mask(-1, MASK), "there is no frame -1"),
    (lambda session: session.add_mask(0, MASK[1:]), "give a mask of its size"),
    (lambda session: session.add_mask(0, MASK.astype(np.float32)), "float32"),
    (lambda session: session.add_mask(0, torch.from_numpy(MASK).to(torch.bfloat16)), "whole numbers"),
    (lambda session: session.remove_mask(1), "frame 1 has no mask"),
    (lambda session: session.remove_points(1), "frame 1 has no points of lesion 1"),
    (lambda session: session.remove_points(FRAMES), "there is no frame 10"),
    (lambda session: session.remove_points("1"), "frame '1' is not a whole number"),
    (lambda session: list(session.propagate_from(1)), "add_mask"),
    (lambda session: list(session.propagate(0, FRAMES + 1)), "there is no frame 10"),
    (lambda session: VideoSession(session.network, session.source, reach=-1), "reach"),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_calls(small_network: LSINet, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(_session(small_network))


def test_no_frames_are_no_error(small_network: LSINet) -> None:
    assert _propagate(_session(small_network), 4, 4) == {}


@pytest.mark.slow
@pytest.mark.required_in_ci
def test_corrections_help_a_trained_network(demo_model: Path) -> None:
    network, image_size = load_checkpoint(demo_model)
    frames, masks = zip(*phantom_clip(60, (128, 160), seed=3000), strict=True)
    truth = [mask > 0 for mask in masks]
    session = VideoSession(network, frames, image_size, reach=10)
    before = {frame: probability > 0.5 for frame, probability in session.propagate()}
    dice = np.array([frame_dice(before[frame], truth[frame]) for frame in range(60)])
    gains = []
    for frame in np.flatnonzero(dice < 0.6)[::8]:
        session.add_mask(int(frame), truth[frame])
        after = {result.frame: result.probability > 0.5 for result in session.propagate_from(int(frame))}
        session.remove_mask(int(frame))
        gains.append(np.mean([frame_dice(mask, truth[t]) - dice[t] for t, mask in after.items()]))
    assert np.mean(gains) > 0.1


# Cuts -----------------------------------------------------------------------------------------------------------------


def _cut_session(network: LSINet, adjacent: str = "next", **options: Any) -> VideoSession:
    """Two scenes, of five and of six frames."""
    inferer = SequentialVideoInferer(adjacent=adjacent, detect_cuts=True, **OFTEN)
    scenes = [_scene(0)] * 5 + [_scene(1)] * 6
    return _session(network, scenes, inferer=inferer, **options)


def _scene(seed: int) -> np.ndarray:
    """Large patches, which look different in each scene."""
    patches = np.random.default_rng(seed).integers(0, 255, (3, 5, 3), np.uint8)
    return patches.repeat(16, 0).repeat(16, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("known_scenes")
@pytest.mark.parametrize("adjacent", ["next", "previous", "clearest"])
@pytest.mark.parametrize("reverse", [False, True])
def test_after_a_cut_it_is_as_if_the_video_began(small_network: LSINet, adjacent: str, reverse: bool) -> None:
    session = _cut_session(small_network, adjacent)
    result = _propagate(session, reverse=reverse)
    parts = [session.source[:5], session.source[5:]]
    inferer = SequentialVideoInferer(adjacent=adjacent, **OFTEN)
    first, second = (_propagate(_session(small_network, part, inferer=inferer), reverse=reverse) for part in parts)
    expected = first | {frame + 5: x for frame, x in second.items()}
    _assert_same(result, {frame: expected[frame] for frame in result})
    if not reverse:
        clip = frames_to_tensor(session.source, (IMAGE, IMAGE))[None]
        logits = session.inferer(clip, small_network)
        for frame, probability in result.items():
            np.testing.assert_allclose(probability, logit_to_probability(logits[:, :, frame], SIZE)[0, 0], atol=1e-5)


@pytest.mark.usefixtures("known_scenes")
@pytest.mark.parametrize(("frame", "expected"), [(1, range(5)), (4, range(5)), (5, range(5, 11)), (9, range(5, 11))])
def test_a_correction_does_not_reach_across_a_cut(small_network: LSINet, frame: int, expected: range) -> None:
    plain = _propagate(_cut_session(small_network))
    session = _cut_session(small_network)
    assert session.reached_from(frame) == expected
    session.add_mask(frame, MASK)
    assert sorted(x.frame for x in session.propagate_from(frame)) == [x for x in expected if x != frame]
    assert not any(any(session._corrections.carried_to(other).values()) for other in set(range(11)) - set(expected))
    # Nor is it read from memory there.
    result = _propagate(session)
    for other in set(range(11)) - set(expected):
        np.testing.assert_allclose(result[other], plain[other], atol=1e-5)


@pytest.mark.usefixtures("known_scenes")
def test_a_session_with_cuts_is_saved_and_loaded(small_network: LSINet, tmp_path: Path) -> None:
    session = _cut_session(small_network)
    expected = _propagate(session)
    _propagate(session, 0, 5)
    session.save(tmp_path / "a.pt")
    loaded = VideoSession.load(tmp_path / "a.pt", small_network, session.source)
    assert loaded.inferer.detect_cuts
    _assert_same(_propagate(loaded, 5), {frame: x for frame, x in expected.items() if frame >= 5})


@pytest.mark.slow
@pytest.mark.usefixtures("known_scenes")
@pytest.mark.parametrize("reach", [0, 1, 30])
@pytest.mark.parametrize("reverse", [False, True])
def test_it_resumes_after_a_cut_with_the_corrections_of_the_scene(
    small_network: LSINet, tmp_path: Path, reach: int, reverse: bool
) -> None:
    """Corrections on both sides of a cut: after it, only those of the scene are in memory, also when resumed."""
    session = _cut_session(small_network, reach=reach)
    for frame in (1, 3, 5, 9):
        session.add_mask(frame, MASK)
    expected = _propagate(session, reverse=reverse)
    first, second = ((2, 11), (0, 2)) if reverse else ((0, 8), (8, 11))
    result = _propagate(session, *first, reverse=reverse)
    session.save(tmp_path / "a.pt")
    loaded = VideoSession.load(tmp_path / "a.pt", small_network, session.source)
    _assert_same(result | _propagate(loaded, *second, reverse=reverse), expected)
    assert loaded._propagation is not None
    scene = range(5) if reverse else range(5, 11)
    assert loaded._propagation.permanent and set(loaded._propagation.permanent) <= set(scene)


def test_points_correct_a_frame_as_a_mask_does(prompt_network: LSINet) -> None:
    session, other = (_session(prompt_network) for _ in range(2))
    found = session.add_points(4, [[20, 30], [50, 10]], [1, 0])
    assert found.dtype == bool and found.shape == SIZE
    assert np.array_equal(session.masks[4], found)
    other.add_mask(4, found)
    for (frame, probability), (_, expected) in zip(session.propagate(), other.propagate(), strict=True):
        np.testing.assert_array_equal(probability, expected, err_msg=f"frame {frame}")


def test_a_frames_lesions_are_one_correction(prompt_network: LSINet) -> None:
    session = _session(prompt_network)
    one = session.add_points(4, [[20, 30]], [1])
    two = session.add_points(4, [], [], box=[30, 20, 60, 45], lesion=2)
    assert np.array_equal(session.masks[4], one | two)
    session.remove_mask(4)
    assert np.array_equal(session.add_points(4, [], [], box=[30, 20, 60, 45], lesion=2), two)
    assert np.array_equal(session.masks[4], two)  # the lesion before is gone with the mask


def test_points_start_from_the_mask_of_a_person(prompt_network: LSINet) -> None:
    session, other = (_session(prompt_network) for _ in range(2))
    half = np.zeros(SIZE, bool)
    half[:, :30] = True
    session.add_mask(4, half)
    refined = session.add_points(4, [[20, 30]], [1])
    assert np.array_equal(refined, other.add_points(4, [[20, 30]], [1], mask=half))
    assert not np.array_equal(refined, other.add_points(5, [[20, 30]], [1]))


def test_a_lesions_points_are_taken_back_and_the_other_lesions_stay(prompt_network: LSINet) -> None:
    session = _session(prompt_network)
    expected = _propagate(session)
    session.add_points(4, [[20, 30], [50, 10]], [1, 0])
    two = session.add_points(4, [], [], box=[30, 20, 60, 45], lesion=2)
    session.remove_points(4)
    assert np.array_equal(session.masks[4], two)
    session.remove_points(4, lesion=2)
    assert not session.masks
    _assert_same(_propagate(session), expected)
    with pytest.raises(InputError, match="frame 4 has no points of lesion 2"):
        session.remove_points(4, lesion=2)


@pytest.mark.parametrize("own", [MASK, EMPTY])
def test_the_mask_before_the_points_is_back_without_them(prompt_network: LSINet, own: np.ndarray) -> None:
    session = _session(prompt_network)
    session.add_mask(4, own)
    two = session.add_points(4, [[70, 10]], [1], lesion=2)
    assert np.array_equal(session.masks[4], own | two)  # a further lesion takes nothing from it
    one = session.add_points(4, [[20, 30]], [1])
    assert np.array_equal(session.masks[4], one | two)
    session.remove_points(4)
    assert np.array_equal(session.masks[4], own | two)
    session.remove_points(4, lesion=2)
    assert np.array_equal(session.masks[4], own)


def test_a_new_mask_ends_the_points_before_it(prompt_network: LSINet) -> None:
    session = _session(prompt_network)
    session.add_points(4, [[20, 30]], [1])
    session.add_mask(4, MASK)
    with pytest.raises(InputError, match=r"frame 4 has no points of lesion 1, .* with remove_mask"):
        session.remove_points(4)
    assert np.array_equal(session.masks[4], MASK)


def test_a_propagation_starts_again_after_points_are_taken_back(prompt_network: LSINet) -> None:
    session, other = (_session(prompt_network) for _ in range(2))
    session.add_mask(4, MASK)
    session.add_points(4, [[20, 30]], [1])
    _propagate(session, 0, 5)
    session.remove_points(4)
    other.add_mask(4, MASK)
    _assert_same(_propagate(session, 5), _propagate(other, 5))


def test_refused_points_leave_the_corrections_as_they_are(prompt_network: LSINet, small_network: LSINet) -> None:
    session = _session(prompt_network)
    with pytest.raises(InputError, match="must lie in the frame"):
        session.add_points(4, [[2000, 30]], [1])
    with pytest.raises(InputError, match="there is no frame 4000"):
        session.add_points(4000, [[20, 30]], [1])
    assert not session.masks
    with pytest.raises(InputError, match="no prompt head"):
        _session(small_network).add_points(4, [[20, 30]], [1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_network_of_any_type_with_the_label_apps_options(prompt_network: LSINet, dtype: torch.dtype) -> None:
    network = copy.deepcopy(prompt_network).to(dtype)
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 80, 3), np.uint8)
    inferer = SequentialVideoInferer(adjacent="clearest", detect_cuts=True, smoothing=0.35, refine=True)
    session = VideoSession(network, frames, 64, inferer)
    session.add_mask(1, np.ones((64, 80), bool))
    assert [frame for frame, _ in session.propagate()] == [0, 1, 2, 3]
    assert all(np.isfinite(probability).all() for _, probability in session.propagate())
