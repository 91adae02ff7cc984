from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.ops import memory_read, read_memory
from lsinet_monai.ops.builds import load_kernels
from lsinet_monai.ops.memory_read import MemoryRead

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

# (batch, queries, elements, top_k): around the chunks of 256 queries, and fewer elements than are read.
CASES = [
    (1, 1, 50, 20),
    (2, 256, 50, 20),
    (1, 257, 64, 20),
    (2, 600, 40, 5),
    (1, 3, 7, 20),
    (2, 3, 1, 20),
]


def _make(batch: int, queries: int, elements: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(queries + elements)
    shapes = ((batch, queries, 4), (batch, elements, 4), (batch, elements, 16))
    return tuple(torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)


def _reference(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Read for one clip, query by query, by the definition: the values, and the weight of every element."""
    read = np.zeros((len(queries), values.shape[1]))
    weights = np.zeros((len(queries), len(keys)))
    for i, query in enumerate(queries):
        scores = (2 * keys @ query - (keys**2).sum(1)) / np.sqrt(4)
        best = sorted(range(len(keys)), key=lambda n: -scores[n])[:top_k]
        exponentials = np.exp(scores[best] - scores[best].max())
        weights[i, best] = exponentials / exponentials.sum()
        read[i] = weights[i] @ values
    return read, weights


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("batch", "queries", "elements", "top_k"), CASES)
def test_against_the_definition(batch: int, queries: int, elements: int, top_k: int, device: str) -> None:
    inputs = _make(batch, queries, elements)
    result = MemoryRead(*(x.cpu() for x in read_memory(*(x.to(device) for x in inputs), top_k=top_k)))
    assert result.indices.shape == result.weights.shape == (batch, queries, min(top_k, elements))
    dense = torch.zeros(batch, queries, elements, dtype=torch.float64).scatter(2, result.indices, result.weights)
    for clip in range(batch):
        read, weights = _reference(*(x[clip].numpy() for x in inputs), top_k=top_k)
        np.testing.assert_allclose(result.values[clip].numpy(), read, atol=1e-12)
        np.testing.assert_allclose(dense[clip].numpy(), weights, atol=1e-12)


# (batch, queries, elements, channels, top_k): around the blocks of 64 elements and the tiles of 32 queries, fewer
# elements than a vector, several thousand elements, and other numbers of channels than the network's 4.
SEARCHES = [
    (1, 1, 1, 4, 1),
    (1, 5, 7, 4, 7),
    (2, 33, 64, 4, 20),
    (1, 32, 65, 4, 20),
    (3, 1, 130, 4, 1),
    (1, 70, 5000, 4, 20),
    (2, 17, 300, 9, 20),
    (1, 40, 129, 1, 40),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("is_occupied", [1.0, 0.5], ids=["full", "half"])
@pytest.mark.parametrize(("batch", "queries", "elements", "channels", "top_k"), SEARCHES)
def test_search_is_as_the_reference(
    batch: int, queries: int, elements: int, channels: int, top_k: int, is_occupied: float, device: str
) -> None:
    """In float32, the type of the compiled kernels, if there are any: the best of all scores, each element once."""
    generator = torch.Generator().manual_seed(elements)
    q, k = (torch.randn(batch, n, channels, generator=generator) for n in (queries, elements))
    occupied = torch.rand(batch, elements, generator=generator) < is_occupied
    occupied[:, 0] = True
    indices = read_memory(*(x.to(device) for x in (q, k, k, occupied)), top_k=top_k).indices.cpu()
    assert all(len(set(row)) == top_k for row in indices.flatten(0, 1).tolist())
    scores = 2 * q.double() @ k.double().transpose(1, 2) - k.double().square().sum(2).unsqueeze(1)
    scores = scores.masked_fill(~occupied.unsqueeze(1), -torch.inf)
    found = scores.gather(2, indices).sort(2, descending=True).values
    torch.testing.assert_close(found, scores.topk(top_k, 2).values, atol=1e-4, rtol=0)


@pytest.mark.parametrize("where", ["queries", "keys"])
def test_what_is_not_a_number_ends_the_search_all_the_same(where: str) -> None:
    inputs = {"queries": torch.zeros(1, 3, 4), "keys": torch.zeros(1, 70, 4)}
    inputs[where].fill_(torch.nan)
    result = read_memory(**inputs, values=torch.ones(1, 70, 2))
    assert result.indices.min() >= 0 and result.indices.max() < 70
    assert result.values.isnan().all()


def test_search_passes_pytorchs_checks() -> None:
    queries, keys, _ = _make(2, 5, 70, torch.float32)
    torch.library.opcheck(torch.ops.lsinet_monai.search_memory, (queries, keys, keys[..., 0] > 0, 20))


@pytest.mark.parametrize(
    ("queries", "keys", "occupied", "top_k", "message"),
    [
        (torch.zeros(1, 2, 4), torch.zeros(1, 3, 5), None, 1, "queries"),
        (torch.zeros(1, 2, 4), torch.zeros(2, 3, 4), None, 1, "queries"),
        (torch.zeros(1, 2, 4), torch.zeros(1, 3, 4), None, 4, "top_k"),
        (torch.zeros(1, 2, 4), torch.zeros(1, 3, 4), torch.ones(1, 2, dtype=torch.bool), 1, "occupied"),
        (torch.zeros(1, 2, 4).double(), torch.zeros(1, 3, 4).double(), None, 1, "float32"),
    ],
)
def test_compiled_search_refuses_what_does_not_fit(
    queries: Tensor, keys: Tensor, occupied: Tensor | None, top_k: int, message: str
) -> None:
    """However it is called, it reads no memory outside its arguments."""
    if not load_kernels("cpu"):
        pytest.skip("no compiled kernels: there is no C++ compiler")
    with pytest.raises(RuntimeError, match=message):
        torch.ops.lsinet_monai.search_memory(queries, keys, occupied, top_k)


@pytest.mark.slow
@pytest.mark.parametrize("scores_at_a_time", [2**20, 1000], ids=["one chunk", "many chunks"])
def test_search_with_pytorchs_operators_compiles_whole(monkeypatch: pytest.MonkeyPatch, scores_at_a_time: int) -> None:
    monkeypatch.setitem(memory_read.SCORES_AT_A_TIME, "cpu", scores_at_a_time)
    queries, keys, values = _make(2, 33, 700, torch.float32)
    occupied = keys[..., 0] > 0
    expected = read_memory(queries, keys, values, occupied).indices
    # In float64, for which there are no kernels.
    compiled = torch.compile(read_memory, fullgraph=True, backend="aot_eager")
    found = compiled(queries.double(), keys.double(), values, occupied).indices
    assert (found.sort(2).values == expected.sort(2).values).all()


def test_twenty_elements_are_read_by_default() -> None:
    assert read_memory(*_make(1, 2, 30)).indices.shape == (1, 2, 20)


@pytest.mark.parametrize("count", [1, 12, 30], ids="{} occupied".format)
def test_empty_slots_are_not_read(count: int) -> None:
    queries, keys, values = _make(2, 5, 40)
    generator = torch.Generator().manual_seed(count)
    occupied = torch.stack([torch.randperm(40, generator=generator) < count for _ in range(2)])
    result = read_memory(queries, keys, values, occupied)
    for clip in range(2):
        slots = occupied[clip].nonzero().flatten()
        alone = read_memory(queries[clip : clip + 1], keys[clip : clip + 1, slots], values[clip : clip + 1, slots])
        torch.testing.assert_close(result.values[clip], alone.values[0])
        is_empty = ~occupied[clip][result.indices[clip]]
        assert (result.weights[clip][is_empty] == 0).all()


def test_gradients() -> None:
    inputs = [x.requires_grad_() for x in _make(2, 3, 9)]
    assert torch.autograd.gradcheck(lambda *x: read_memory(*x, top_k=4).values, inputs)


def test_only_what_is_read_gets_a_gradient() -> None:
    queries, keys, values = (x.requires_grad_() for x in _make(1, 1, 50))
    result = read_memory(queries, keys, values, top_k=3)
    result.values.sum().backward()
    assert set(values.grad[0].abs().sum(1).nonzero().flatten().tolist()) == set(result.indices.flatten().tolist())
