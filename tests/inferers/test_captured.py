from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.captured import MAX_GRAPHS, CapturedCalls, CudaGraphs, TensorFunction


def _accumulate(total: Tensor, x: Tensor) -> list[Tensor]:
    """Add to the first input in place, and return something else."""
    total += x
    return [total * 2, x + 1]


def _run(calls: CapturedCalls, total: Tensor, x: Tensor) -> list[Tensor]:
    outputs = calls.run("a sum", None, _accumulate, (total, x), changed=1)
    return _accumulate(total, x) if outputs is None else outputs


def _check(calls: CapturedCalls, device: str) -> None:
    """Three totals in turn, of two shapes, are what they are without graphs; results are not overwritten later."""
    totals = [torch.zeros(2, device=device), torch.zeros(2, device=device), torch.zeros(3, device=device)]
    kept = []
    for number in range(5):
        for total in totals:
            kept.append((number, total.clone(), _run(calls, total, torch.full_like(total, number))))
    for number, before, (double, more) in kept:
        assert torch.equal(double, 2 * (before + number))
        assert torch.equal(more, torch.full_like(before, number + 1))
    assert all((total == 10).all() for total in totals)


def test_buffers_are_the_callers(backend: Any) -> None:
    calls = CapturedCalls(backend)
    _check(calls, "cpu")
    # The first call of each shape is not captured.
    assert (backend.captures, backend.replays, len(calls)) == (2, 5 * 3 - 2, 2)


@pytest.mark.gpu
def test_cuda_graphs() -> None:
    calls = CapturedCalls()
    _check(calls, "cuda")
    assert len(calls) == 2


def test_views_are_inputs_too(backend: Any) -> None:
    calls = CapturedCalls(backend)
    table = torch.zeros(3, 4)
    for _ in range(4):
        _run(calls, table[:, 1], torch.ones(3))
    assert torch.equal(table, torch.tensor([[0.0, 4, 0, 0]] * 3))


def test_the_number_of_graphs_is_limited(backend: Any) -> None:
    calls = CapturedCalls(backend)
    for size in (*range(1, MAX_GRAPHS + 3), 1):
        for _ in range(2):
            _run(calls, torch.zeros(size), torch.ones(size))
    assert len(calls) == MAX_GRAPHS
    assert backend.captures == MAX_GRAPHS + 3  # The first size was forgotten.


@pytest.mark.parametrize("changed", ["dtype", "options"])
def test_what_makes_another_graph(backend: Any, changed: str) -> None:
    calls = CapturedCalls(backend)
    for value in (1, 2):
        x = torch.ones(2, dtype=torch.float64 if changed == "dtype" and value == 2 else torch.float32)
        options = value if changed == "options" else None
        for _ in range(2):
            outputs = calls.run("a product", options, lambda x, value=value: [x * value], [x])
        assert outputs is not None
        assert torch.equal(outputs[0], x * value)
        assert outputs[0].dtype == x.dtype
    assert backend.captures == 2


def test_a_function_that_cannot_be_captured(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        captures = 0

        def capture(
            self, function: TensorFunction, inputs: Sequence[Tensor]
        ) -> tuple[Callable[[], object], Sequence[Tensor]]:
            self.captures += 1
            try:
                raise RuntimeError("operation not permitted\nCUDA kernel errors might be ...")
            finally:
                raise RuntimeError("operation failed due to a previous error during capture")

        def follow(self, device: torch.device) -> None:
            pass

    backend = Failing()
    calls = CapturedCalls(backend)
    total = torch.zeros(2)
    for _ in range(4):
        _run(calls, total, torch.ones(2))
    for _ in range(4):
        _run(calls, torch.zeros(3), torch.ones(3))
    assert total.tolist() == [4, 4]
    assert backend.captures == 1
    assert [record.message for record in caplog.records] == [
        "a sum runs without a CUDA graph, which is slower: RuntimeError: operation not permitted"
    ]


def test_inputs_that_do_not_fit_in_memory_keep_no_others_out(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = backend.capture

    def full(function: TensorFunction, inputs: Sequence[Tensor]) -> Any:
        if inputs[0].numel() > 2:
            raise torch.OutOfMemoryError("out of memory")
        return capture(function, inputs)

    monkeypatch.setattr(backend, "capture", full)
    calls = CapturedCalls(backend)
    for size in (3, 2):
        for _ in range(3):
            _run(calls, torch.zeros(size), torch.ones(size))
    assert len(calls) == 1 and backend.captures == 1


def test_bad_input_is_no_failed_capture(backend: Any) -> None:
    def refuse(x: Tensor) -> list[Tensor]:
        raise InputError("refused")

    calls = CapturedCalls(backend)
    assert calls.run("a check", None, refuse, [torch.zeros(1)]) is None
    with pytest.raises(InputError, match="refused"):
        calls.run("a check", None, refuse, [torch.zeros(1)])
    assert calls.run("a check", 1, refuse, [torch.zeros(1)]) is None


def _in_threads(calls: CapturedCalls, device: str) -> None:
    totals = [torch.zeros(4, device=device) for _ in range(2)]
    start = threading.Barrier(2)
    errors: list[BaseException] = []

    def work(total: Tensor) -> None:
        try:
            start.wait()
            for number in range(200):
                before = total.clone()
                double, _ = _run(calls, total, torch.full_like(total, number))
                assert torch.equal(double, 2 * (before + number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(total,)) for total in totals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all((total == sum(range(200))).all() for total in totals)


def test_two_threads(backend: Any) -> None:
    _in_threads(CapturedCalls(backend), "cpu")


@pytest.mark.gpu
def test_two_threads_on_cuda() -> None:
    _in_threads(CapturedCalls(), "cuda")


@pytest.mark.gpu
def test_a_failed_capture_on_cuda_leaves_the_gpu_usable(caplog: pytest.LogCaptureFixture) -> None:
    def wait(x: Tensor) -> list[Tensor]:
        return [x + x.sum().item()]

    calls, x = CapturedCalls(), torch.ones(3, device="cuda")
    stream = torch.cuda.current_stream()
    results = [calls.run("a sum", None, wait, [x]) for _ in range(3)]
    assert results == [None, None, None]
    assert len(caplog.records) == 1
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()
    assert torch.rand(3, device="cuda").isfinite().all()
    _check(calls, "cuda")


def test_nothing_of_cuda_is_needed_to_make_one() -> None:
    assert len(CapturedCalls(CudaGraphs())) == 0
