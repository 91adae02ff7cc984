from __future__ import annotations

import torch

from lsinet_monai.inferers.scale_memory import ScaleMemory, drop_least_used


def _elements(values: list[list[float]]) -> ScaleMemory:
    """For each clip its elements, whose keys and values are one number."""
    x = torch.tensor(values).unsqueeze(2)
    return ScaleMemory.new(x.expand(-1, -1, 4).clone(), x.expand(-1, -1, 16).clone())


def test_join_take_and_put() -> None:
    memory = ScaleMemory.join(_elements([[1.0, 2.0]]), _elements([[3.0]]))
    assert memory.take(torch.tensor([[2, 0]])).values[0, :, 0].tolist() == [3, 1]
    memory.put(torch.tensor([[1]]), _elements([[9.0]]))
    assert memory.keys[0, :, 0].tolist() == [1, 9, 3]


def test_where_chooses_per_clip() -> None:
    first, second = _elements([[1.0, 2.0], [3.0, 4.0]]), _elements([[5.0, 6.0], [7.0, 8.0]])
    chosen = first.where(torch.tensor([True, False]), second.empty(2))
    assert chosen.values[:, :, 0].tolist() == [[1, 2], [0, 0]]
    assert (chosen.life > 0).tolist() == [[True, True], [False, False]]


def test_what_is_lent_is_taken_back() -> None:
    memory = ScaleMemory.join(_elements([[1.0], [2.0]]), _elements([[3.0], [4.0]]))
    memory.put(torch.tensor([[0, 1], [0, 1]]), memory.where(torch.tensor([False, True]), memory.empty(2)))
    before = [x.clone() for x in memory.tensors()]
    own, bare = _elements([[7.0], [float("nan")]]), torch.tensor([True, False])
    assert memory.lend(own, bare).tolist() == [[True, False], [True, True]]
    assert memory.values[:, :, 0].tolist() == [[7, 0], [2, 4]]
    memory.take_back(own, bare)
    for x, y in zip(memory.tensors(), before, strict=True):
        assert torch.equal(x, y)


def test_least_used_first_and_dropped() -> None:
    memory = _elements([[1.0, 2.0, 3.0]])
    memory.usage[0], memory.life[0] = torch.tensor([4.0, 1.0, 0.0]), torch.tensor([2.0, 1.0, 0.0])
    assert memory.least_used_first().tolist() == [[2, 1, 0]]
    drop_least_used(memory, 0, 1)
    assert memory.life[0].tolist() == [2, 0, 0]
