from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import TrainingInferer


class Network(nn.Module):
    """Records the type in which its convolution computes, and returns one tensor or two."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3)
        self.outputs = outputs
        self.dtype: torch.dtype | None = None
        self.every_frame = False

    def forward(self, x: Tensor, bias: Tensor, every_frame: bool = False) -> Tensor | tuple[Tensor, ...]:
        self.every_frame = every_frame
        logit = self.convolution(x) + bias.to(x.device)
        self.dtype = self.convolution(x).dtype
        return logit if self.outputs == 1 else (logit,) * self.outputs


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize(("amp_dtype", "dtype"), [(None, torch.float32), ("bfloat16", torch.bfloat16)])
def test_network_computes_in_a_type_and_gives_float32(amp_dtype, dtype: torch.dtype, outputs: int) -> None:
    network = Network(outputs)
    logits = TrainingInferer(amp_dtype)(torch.rand(1, 1, 8, 8), network, bias=torch.zeros(1))
    assert network.dtype == dtype
    logits = (logits,) if outputs == 1 else logits
    assert len(logits) == outputs and all(logit.dtype == torch.float32 for logit in logits)
    sum(logit.sum() for logit in logits).backward()
    assert network.convolution.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("amp_dtype", [None, "bfloat16"])
@pytest.mark.parametrize("every_frame", [True, False])
def test_network_is_asked_for_every_frame(amp_dtype, every_frame: bool) -> None:
    network = Network(1)
    TrainingInferer(amp_dtype, every_frame=every_frame)(torch.rand(1, 1, 8, 8), network, bias=torch.zeros(1))
    assert network.every_frame == every_frame


@pytest.mark.parametrize(
    ("amp_dtype", "said"), [("half", "must be 'bfloat16', 'float16' or null"), ("float16", "CUDA only")]
)
def test_types_that_do_not_train_on_a_cpu(amp_dtype, said: str) -> None:
    with pytest.raises(InputError, match=f"amp_dtype='{amp_dtype}'.*{said}"):
        TrainingInferer(amp_dtype, "cpu")
