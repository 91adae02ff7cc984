from __future__ import annotations

import copy
from collections import Counter
from math import exp
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers import MemoryBank
from lsinet_monai.networks import Features, LSINet

SIDES = (4, 2, 1)
PER_FRAME = (16, 4, 1)
FAR = 100.0  # two keys so far apart have a weight of exp(-5000) = 0

BAD_ARGUMENTS = [({"memory_frames": 0}, "memory_frames"), ({"forgetting": "never"}, "forgetting")]


def _frame(positions: list[float] | Tensor, number: int = 0) -> Features:
    """A frame of 1 position per scale for each clip of a batch: its keys are on a line, its values are its number."""
    keys = torch.zeros(len(positions), 4, 1, 1)
    keys[:, 0, 0, 0] = torch.as_tensor(positions)
    return Features((), (keys,) * 3, (torch.full((len(positions), 16, 1, 1), float(number)),) * 3)


def _random_frame(number: int, batch: int = 1, scale: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(number)
    keys = tuple(scale * torch.randn(batch, 4, side, side, generator=generator) for side in SIDES)
    return Features((), keys, tuple(torch.full((batch, 16, side, side), float(number)) for side in SIDES))


def _write(bank: MemoryBank, frame: Features) -> None:
    bank.write(frame.keys, frame.values)


def _kept(bank: MemoryBank, scale: int = 0, clip: int = 0) -> Counter[int]:
    """How many elements there are of each frame."""
    elements = bank.scales[scale]
    return Counter(elements.values[clip, elements.life[clip] > 0, 0].int().tolist())


def test_an_empty_bank_lets_a_frame_read_itself() -> None:
    bank, frame = MemoryBank(), _random_frame(0)
    assert bank.is_empty and bank.sizes.shape == (0, 3)
    for read, own in zip(bank.read(frame), frame.read_own(), strict=True):
        torch.testing.assert_close(read, own)
    assert bank.is_empty


@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_usage_and_life(forgetting: str) -> None:
    bank = MemoryBank(memory_frames=3, forgetting=forgetting)
    _write(bank, _frame([0.0], 1))
    _write(bank, _frame([2.0], 2))
    # Squared distances of 0 and 4, by sqrt(4): scores of 0 and -2.
    near, far = 1 / (1 + exp(-2)), exp(-2) / (1 + exp(-2))
    for read in bank.read(_frame([0.0])):
        torch.testing.assert_close(read, torch.full((1, 16, 1, 1), 1 * near + 2 * far))
    bank.read(_frame([0.0]))
    bank.read(_frame([2.0]))
    _write(bank, _frame([4.0], 3))
    for scale in bank.scales:
        used = [2 * near + far, 2 * far + near, 0.0]
        torch.testing.assert_close(scale.usage[0, :3], torch.tensor(used))
        torch.testing.assert_close(scale.life[0, :3], torch.tensor([3.0, 3.0, 1e-7]), rtol=1e-6, atol=0)
    assert bank.sizes.tolist() == [[3, 3, 3]]


def test_every_query_counts() -> None:
    bank, frame = MemoryBank(), _random_frame(0)
    _write(bank, frame)
    bank.read(_random_frame(1))
    assert [float(scale.usage.sum()) for scale in bank.scales] == pytest.approx(PER_FRAME)


@pytest.mark.slow
def test_what_was_read_often_stays_and_the_rest_goes_by_age() -> None:
    # All later frames read one element per scale, and never the others.
    bank = MemoryBank(memory_frames=3)
    looking = Features((), tuple(torch.zeros(1, 4, side, side) for side in SIDES), _random_frame(0).values)
    for number in range(1000):
        keys = [torch.full((1, 4, side, side), FAR) for side in SIDES]
        if number == 0:
            for key in keys:
                key[..., 0, 0] = 0
        bank.write(keys, _random_frame(number).values)
        for scale, count in enumerate(PER_FRAME):
            kept = _kept(bank, scale)
            assert kept[number] == count  # a new frame is complete
            assert kept[0] >= 1
            if number >= 3:
                # Room for three frames: the old element, the last two frames, and the third last without one element.
                expected = Counter({0: 1, number: count, number - 1: count, number - 2: count - 1})
                assert kept == +expected
        bank.read(looking)


def test_usage_counts_per_life() -> None:
    bank = MemoryBank(memory_frames=2)
    _write(bank, _frame([0.0], 1))
    for _ in range(5):
        bank.read(_frame([0.0]))
    _write(bank, _frame([FAR], 2))
    for _ in range(4):
        bank.read(_frame([FAR]))
    # Frame 1 was used 5 times in 9 reads, frame 2 4 times in 4.
    _write(bank, _frame([2 * FAR], 3))
    assert _kept(bank) == Counter([2, 3])


@pytest.mark.slow
def test_a_long_clip_neither_freezes_nor_grows() -> None:
    bank = MemoryBank(memory_frames=4)
    for number in range(1, 1001):
        frame = _random_frame(number)
        bank.read(frame)
        if number % 5 == 0:
            _write(bank, frame)
            assert [_kept(bank, scale)[number] for scale in range(3)] == list(PER_FRAME)
            assert bank.sizes[0].tolist() == [min(number // 5, 4) * count for count in PER_FRAME]
    assert [scale.keys.shape[1] for scale in bank.scales] == [4 * count for count in PER_FRAME]


@pytest.mark.parametrize(("forgetting", "kept_frame"), [("usage", 59), ("released", 0)])
def test_only_the_released_forgetting_freezes(forgetting: str, kept_frame: int) -> None:
    # Keys so near to one another that every read uses all 16 elements.
    bank = MemoryBank(memory_frames=1, forgetting=forgetting)
    for number in range(60):
        frame = _random_frame(number, scale=0.1)
        bank.read(frame)
        _write(bank, frame)
    assert [_kept(bank, scale) for scale in range(3)] == [Counter({kept_frame: count}) for count in PER_FRAME]


def test_released_forgetting_step_by_step() -> None:
    bank = MemoryBank(memory_frames=2, forgetting="released")
    _write(bank, _frame([0.0], 1))
    _write(bank, _frame([FAR], 2))
    bank.read(_frame([0.0]))
    _write(bank, _frame([2 * FAR], 3))
    assert _kept(bank) == Counter([1])  # full before: frame 3 goes, and frame 2, which was never read, ties with it
    _write(bank, _frame([3 * FAR], 4))
    assert _kept(bank) == Counter([1, 4])  # not full before: nothing goes
    bank.read(_frame([3 * FAR]))
    _write(bank, _frame([4 * FAR], 5))
    assert _kept(bank) == Counter([1, 4])
    assert bank.sizes.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_clips_of_a_batch_do_not_mix(forgetting: str) -> None:
    # Row 0 reads its first frame alone, so released forgetting leaves it fewer elements than row 1. Then it looks
    # for an element that is forgotten by then.
    positions = [(0.0, 0.0), (FAR, 1.0), (2 * FAR, 2.0), (3 * FAR, 3.0), (4 * FAR, 4.0), (5 * FAR, 5.0)]
    looked_at = [0.0, 0.0, 0.0, FAR, 0.0, 0.0]
    together = MemoryBank(2, forgetting)
    alone = [MemoryBank(2, forgetting) for _ in range(2)]
    sizes = []
    for number, position in enumerate(positions):
        query, new = _frame([looked_at[number], position[1]]), _frame(position, number)
        read = together.read(query)
        _write(together, new)
        sizes.append(together.sizes[:, 0].tolist())
        for row, bank in enumerate(alone):
            for batched, single in zip(read, bank.read(_row(query, row)), strict=True):
                torch.testing.assert_close(batched[row : row + 1], single)
            _write(bank, _row(new, row))
            assert together.sizes[row].tolist() == bank.sizes[0].tolist()
            assert [_kept(together, scale, row) for scale in range(3)] == [_kept(bank, scale) for scale in range(3)]
    assert any(a != b for a, b in sizes) is (forgetting == "released")


def _row(frame: Features, row: int) -> Features:
    return Features(*(tuple(x[row : row + 1] for x in scales) for scales in frame))


@pytest.mark.parametrize(("arguments", "said"), BAD_ARGUMENTS)
def test_bad_arguments(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MemoryBank(**arguments)


def test_it_records_no_gradients_and_can_be_copied(small_network: LSINet) -> None:
    features = small_network.encode(torch.randn(1, 3, 64, 64))
    bank = MemoryBank(memory_frames=2)
    bank.write(features.keys, features.values)
    copied = copy.deepcopy(bank)
    assert not any(read.requires_grad for read in bank.read(features))
    assert bank.scales[0].usage.sum() > 0 and copied.scales[0].usage.sum() == 0


@pytest.mark.parametrize("forgetting", ["usage", "released"])
@pytest.mark.parametrize("when", [0, 1, 7], ids=["first", "before it is full", "when it is full"])
def test_permanent_frames_are_never_forgotten_and_take_no_room(forgetting: str, when: int) -> None:
    # No frame reads the permanent one, so that without permanence it would be forgotten first.
    with_permanent, without = (MemoryBank(2, forgetting) for _ in range(2))
    for number in range(20):
        if number == when:
            far = [torch.full((1, 4, side, side), 2 * FAR) for side in SIDES]
            with_permanent.write(far, _random_frame(100).values, permanent=True)
        frame = _random_frame(number)
        for bank in (with_permanent, without):
            if number > when:
                bank.read(frame)
            _write(bank, frame)
        expected = [_kept(without, scale) for scale in range(3)]
        if number >= when:
            expected = [kept + Counter({100: count}) for kept, count in zip(expected, PER_FRAME, strict=True)]
        assert [_kept(with_permanent, scale) for scale in range(3)] == expected
    assert (with_permanent.sizes - without.sizes).tolist() == [list(PER_FRAME)]


@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_permanent_frames_are_read_with_the_others(forgetting: str) -> None:
    bank = MemoryBank(memory_frames=1, forgetting=forgetting)
    bank.write(*_frame([2.0], 2)[1:], permanent=True)
    _write(bank, _frame([0.0], 1))
    near, far = 1 / (1 + exp(-2)), exp(-2) / (1 + exp(-2))
    for read in bank.read(_frame([0.0])):
        torch.testing.assert_close(read, torch.full((1, 16, 1, 1), 1 * near + 2 * far))
    for scale in bank.scales:
        torch.testing.assert_close(scale.usage, torch.tensor([[far, near]]))


@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_permanent_frames_that_are_dropped(forgetting: str) -> None:
    bank = MemoryBank(2, forgetting)
    bank.drop_permanent()
    for number in (100, 101):
        bank.write(*_random_frame(number)[1:], permanent=True)
    bank.drop_permanent()
    query = _random_frame(50)
    for read, own in zip(bank.read(query), query.read_own(), strict=True):
        assert torch.equal(read, own)  # as in a new bank
    bank.write(*_random_frame(102)[1:], permanent=True)
    _write(bank, _random_frame(1))
    bank.drop_permanent()
    bank.write(*_random_frame(103)[1:], permanent=True)
    for scale, count in enumerate(PER_FRAME):
        assert _kept(bank, scale) == {103: count, 1: count}
    assert bank.permanent_slots == PER_FRAME


@pytest.mark.parametrize("forgetting", ["usage", "released"])
@pytest.mark.parametrize("frames", [0, 1, 2, 6])
def test_a_saved_bank_goes_on_as_if_nothing_had_been(tmp_path: Path, forgetting: str, frames: int) -> None:
    bank, restored = (MemoryBank(3, forgetting) for _ in range(2))
    for number in range(frames):
        bank.write(*_random_frame(number)[1:], permanent=number == 1)
        bank.read(_random_frame(50 + number))
    torch.save(bank.state_dict(), tmp_path / "bank.pt")
    _write(restored, _random_frame(200))
    restored.load_state_dict(torch.load(tmp_path / "bank.pt", weights_only=True))
    for number in range(6):
        query = _random_frame(60 + number)
        for read, expected in zip(restored.read(query), bank.read(query), strict=True):
            assert torch.equal(read, expected)
        for each in (bank, restored):
            _write(each, _random_frame(10 + number))
        assert torch.equal(restored.sizes, bank.sizes)


@pytest.mark.parametrize(("memory_frames", "forgetting"), [(3, "usage"), (2, "released")])
def test_a_saved_bank_is_not_taken_for_another(memory_frames: int, forgetting: str) -> None:
    with pytest.raises(ValueError, match=r"was saved with (memory_frames|forgetting)="):
        MemoryBank(memory_frames, forgetting).load_state_dict(MemoryBank(2, "usage").state_dict())


def test_a_saved_state_is_a_copy() -> None:
    bank = MemoryBank(2)
    _write(bank, _random_frame(0))
    state = bank.state_dict()
    bank.read(_random_frame(1))
    assert state["scales"][0]["usage"].sum() == 0
    restored = MemoryBank(2)
    restored.load_state_dict(state)
    restored.read(_random_frame(1))
    assert state["scales"][0]["usage"].sum() == 0


def test_a_bank_can_be_moved() -> None:
    bank = MemoryBank(2)
    _write(bank, _random_frame(0))
    assert bank.to("meta") is bank
    assert {x.device.type for scale in bank.scales for x in scale.tensors()} == {"meta"}


@pytest.mark.parametrize("full", [False, True])
def test_a_write_that_is_not_finite_is_skipped_and_counted(full: bool) -> None:
    bank, other = MemoryBank(memory_frames=2), MemoryBank(memory_frames=2)
    for number in range(3 if full else 1):
        for each in (bank, other):
            _write(each, _random_frame(number, batch=2))
    bad = _random_frame(9, batch=2)
    bad.values[1][0, 3, 0, 0] = torch.inf
    _write(bank, bad)
    bank.write(*_random_frame(9, batch=2)[1:], usable=torch.tensor([False, True]))
    assert bank.skipped_writes is not None and bank.skipped_writes.tolist() == [2, 0]
    # The first clip is as it was, and all that is read is finite.
    assert _kept(bank) == _kept(other)
    for read, expected in zip(bank.read(_random_frame(4, 2)), other.read(_random_frame(4, 2)), strict=True):
        assert read.isfinite().all()
        torch.testing.assert_close(read[0], expected[0])


def test_without_elements_a_frame_reads_itself_though_something_was_to_be_written() -> None:
    bank, frame = MemoryBank(2), _random_frame(3, batch=2)
    bad = _random_frame(0, batch=2)
    bad.keys[0][1] = torch.nan
    _write(bank, bad)
    reads = bank.read(frame)
    for read, own in zip(reads, frame.read_own(), strict=True):
        torch.testing.assert_close(read[1], own[1])
        assert not torch.allclose(read[0], own[0])
    assert bank.sizes.tolist() == [[16, 4, 1], [0, 0, 0]]
    assert all((x[1] == 0).all() for scale in bank.scales for x in scale.tensors())


def test_a_read_that_is_not_finite_leaves_no_trace() -> None:
    bank = MemoryBank(2)
    _write(bank, _random_frame(0, batch=2))
    bad = _random_frame(1, batch=2)
    bad.keys[0][0] = torch.nan
    bank.read(bad)
    assert (bank.scales[0].usage[0] == 0).all() and bank.scales[0].usage[1].sum() == pytest.approx(16)
    assert (bank.scales[0].life[0] < 1).all() and (bank.scales[0].life[1, :16] >= 1).all()


def test_a_permanent_frame_that_is_not_finite_holds_nothing() -> None:
    bank = MemoryBank(2)
    bad = _random_frame(0)
    bad.values[2][:] = torch.nan
    bank.write(bad.keys, bad.values, permanent=True)
    assert bank.sizes.tolist() == [[0, 0, 0]]
    for read, own in zip(bank.read(_random_frame(1)), _random_frame(1).read_own(), strict=True):
        torch.testing.assert_close(read, own)
