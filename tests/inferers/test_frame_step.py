from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers import MemoryBank, encode_frames, segment_frame
from lsinet_monai.networks import LSINet


def _clip() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(2, 3, 1, 64, 64, generator=generator)
    return scene + 0.3 * torch.randn(2, 3, 8, 64, 64, generator=generator).cumsum(2)


@torch.no_grad()
def test_frames_encoded_together(small_network: LSINet) -> None:
    frames = _clip().unbind(2)[:3]
    for frame, features in zip(frames, encode_frames(frames, small_network), strict=True):
        torch.testing.assert_close(features, small_network.encode(frame), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_frame_with_a_full_memory_compiles_once(small_network: LSINet) -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    frames = encode_frames(_clip().unbind(2), small_network)
    memories = [MemoryBank(2), MemoryBank(2)]
    for memory in memories:
        for frame in frames[:2]:
            memory.write(frame.keys, frame.values)
    compiled = torch.compile(segment_frame, fullgraph=True, backend=count)
    for number in range(2, 7):
        arguments = (frames[number], frames[number + 1])
        expected = segment_frame(*arguments, memories[0], small_network, number % 2 == 0)[-1]
        found = compiled(*arguments, memories[1], small_network, number % 2 == 0)[-1]
        torch.testing.assert_close(found, expected)
    assert len(graphs) == 2  # with a write and without
