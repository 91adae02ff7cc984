"""Functions of tensors as CUDA graphs.

A frame of this network is a thousand small kernels, and on a GPU Python needs ten times as long to launch them as they
take. A CUDA graph launches all of them at once, with the same kernels on the same numbers. It always reads and writes
the same memory, so each graph has buffers of its own: values are copied in before it runs, and results out after.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lsinet_monai.errors import InputError

__all__ = ["MAX_GRAPHS", "CapturedCalls", "CudaGraphs", "GraphBackend", "TensorFunction"]

logger = logging.getLogger(__name__)

MAX_GRAPHS = 18
"""How many graphs a network has at most: for two image sizes the encoder, the search for cuts and what the prompt head
sees with two batch sizes, a frame with and without a write, and the prompt head. A new graph takes the place of the one
used longest ago."""

_WARM_UPS = 3

TensorFunction = Callable[..., Sequence[Tensor]]

# PyTorch allows one capture at a time in a process.
_capturing = threading.Lock()


class GraphBackend(Protocol):
    """What captures a function. Tests replace it where there is no GPU."""

    def capture(
        self, function: TensorFunction, inputs: Sequence[Tensor]
    ) -> tuple[Callable[[], object], Sequence[Tensor]]:
        """Capture a function over these inputs: return what replays it, and the outputs that a replay overwrites."""

    def follow(self, device: torch.device) -> None:
        """Let the work of this thread begin after the last replay, which may have been on another thread's stream."""


class CudaGraphs:
    """Capture CUDA graphs, all with one pool of memory: only one of them runs at a time."""

    def __init__(self) -> None:
        self._memory: tuple[Any, torch.cuda.Stream] | None = None
        """The pool, and the stream on which all are captured, so that they share its blocks."""
        self._last: torch.cuda.Stream | None = None

    def capture(
        self, function: TensorFunction, inputs: Sequence[Tensor]
    ) -> tuple[Callable[[], object], Sequence[Tensor]]:
        """Run a function a few times, because some libraries set themselves up in their first calls; then capture it.

        Raises:
            RuntimeError: the function waits for the GPU, depends on values, or does not fit in memory. The device and
                its random numbers can still be used.
        """
        with _capturing, torch.cuda.device(inputs[0].device):
            if self._memory is None:
                self._memory = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
            pool, side = self._memory
            before, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
            side.wait_stream(before)
            try:
                # PyTorch 2.11 does not return to the stream before if a capture fails; this does.
                with torch.cuda.stream(side):
                    for _ in range(_WARM_UPS):
                        function(*inputs)
                    with torch.cuda.graph(graph, pool, side, capture_error_mode="thread_local"):
                        outputs = function(*inputs)
            except Exception:
                self._memory = None
                _end_failed_capture(pool)
                raise
            finally:
                before.wait_stream(side)
        return graph.replay, outputs

    def follow(self, device: torch.device) -> None:
        """See :class:`GraphBackend`."""
        current = torch.cuda.current_stream(device)
        if self._last is not None and self._last != current:
            current.wait_stream(self._last)
        self._last = current


def _end_failed_capture(pool: Any) -> None:
    """End what a failed capture leaves under way: until then PyTorch refuses random numbers and to free its cache."""
    with suppress(Exception):
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
    with suppress(Exception), torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
        torch.zeros(1, device="cuda")


@dataclass
class _Call:
    """A captured function."""

    inputs: list[Tensor]
    replay: Callable[[], object]
    outputs: list[Tensor]


class CapturedCalls:
    """Functions of tensors, captured per name, options, shapes and types.

    What comes for the first time is not captured yet, because much comes only once, such as a clip's last, smaller
    batch. A function that cannot be captured is never tried again, and the log says why; nor are inputs for which the
    memory did not suffice. Threads may share an object:
    their calls run one after the other.

    Args:
        backend: what captures them; CUDA graphs if not given.
        max_graphs: the number of captured functions to keep.
    """

    def __init__(self, backend: GraphBackend | None = None, max_graphs: int = MAX_GRAPHS) -> None:
        self._backend = CudaGraphs() if backend is None else backend
        self._max_graphs = max_graphs
        self._calls: OrderedDict[Hashable, _Call | None] = OrderedDict()  # the one used last at the end
        self._failed: set[Hashable] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of captured functions."""
        return sum(call is not None for call in self._calls.values())

    def run(
        self, name: str, options: Hashable, function: TensorFunction, inputs: Sequence[Tensor], changed: int = 0
    ) -> list[Tensor] | None:
        """Run a function as a graph, if it is captured or can be captured now.

        Args:
            name: what the function does, for the log.
            options: what the result depends on apart from the inputs.
            function: it takes the inputs as arguments and returns tensors. It may change inputs in place. What else it
                uses must stay where it is as long as this object lives. It is not kept.
            inputs: tensors on one device.
            changed: the number of inputs, from the first one on, that the function changes.

        Returns:
            the function's results, which belong to the caller; None if the caller has to call the function itself.

        Raises:
            InputError: the function raised it.
        """
        key = (name, options, *((x.shape, x.dtype, x.device) for x in inputs))
        with self._lock:
            if name in self._failed or key in self._failed:
                return None
            is_first = key not in self._calls
            call = self._calls.setdefault(key, None)
            self._calls.move_to_end(key)
            if is_first:
                if len(self._calls) > self._max_graphs:
                    self._calls.popitem(last=False)
                return None
            self._backend.follow(inputs[0].device)
            if call is None:
                call = self._calls[key] = self._capture(name, key, function, inputs)
                if call is None:
                    return None
            torch._foreach_copy_(call.inputs, list(inputs))
            call.replay()
            if changed:
                torch._foreach_copy_(list(inputs[:changed]), call.inputs[:changed])
            return [x.clone() for x in call.outputs]

    @torch.inference_mode(False)
    @torch.no_grad()
    def _capture(self, name: str, key: Hashable, function: TensorFunction, inputs: Sequence[Tensor]) -> _Call | None:
        try:
            own = [x.detach().clone() for x in inputs]  # in the inputs' memory format, which decides on kernels
            replay, outputs = self._backend.capture(function, own)
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError):
                self._failed.add(key)
            else:
                self._failed.add(name)
                for other in [other for other in self._calls if isinstance(other, tuple) and other[0] == name]:
                    del self._calls[other]
            logger.warning("%s runs without a CUDA graph, which is slower: %s", name, _reason(error))
            return None
        return _Call(own, replay, list(outputs))


def _reason(error: BaseException) -> str:
    """The first line of the error that a capture failed with first. The end of the capture raises one more."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}".splitlines()[0]
