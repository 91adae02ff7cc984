"""The inferers' tests take a backbone that is twice as fast: what they check is what happens between frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from lsinet_monai.inferers import cuts
from lsinet_monai.inferers.captured import TensorFunction
from lsinet_monai.networks import LSINet


@pytest.fixture(scope="session")
def small_network(make_small_network: Callable[..., LSINet]) -> LSINet:
    """A small network with random weights, see ``make_small_network``."""
    return make_small_network("mobilenetv3_small_050")


@pytest.fixture(scope="session")
def embedding_network(make_small_network: Callable[..., LSINet]) -> LSINet:
    """The same network with a mask embedding, whose weights are random too."""
    return make_small_network("mobilenetv3_small_050", mask_embedding=True)


@pytest.fixture(scope="session")
def prompt_network(make_small_network: Callable[..., LSINet]) -> LSINet:
    """The same network with a prompt head."""
    return make_small_network("mobilenetv3_small_050", prompt_head=True)


class Replays:
    """Stands for CUDA graphs on a CPU: a replay calls the function again, on the same inputs into the same outputs."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def capture(
        self, function: TensorFunction, inputs: Sequence[Tensor]
    ) -> tuple[Callable[[], object], Sequence[Tensor]]:
        self.captures += 1
        function(*inputs)  # As a warm-up does, this changes the inputs.
        outputs = [x.clone() for x in function(*inputs)]

        @torch.no_grad()
        def replay() -> None:
            self.replays += 1
            for output, result in zip(outputs, function(*inputs), strict=True):
                output.copy_(result)

        return replay, outputs

    def follow(self, device: torch.device) -> None:
        pass


@pytest.fixture
def backend() -> Replays:
    """What captures functions where there is no GPU."""
    return Replays()


@pytest.fixture
def known_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The features of a random network are alike for any two frames, so scenes are told apart by less."""

    def is_other_scene(earlier: Tensor, later: Tensor, less_clear: Tensor) -> Tensor:
        centred = ((x - x.mean((2, 3), keepdim=True)).flatten(1) for x in (earlier, later))
        return torch.cosine_similarity(*centred) < 0.975

    monkeypatch.setattr(cuts, "is_other_scene", is_other_scene)
