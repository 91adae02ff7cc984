from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import ClipTrainingInferer, SequentialVideoInferer
from lsinet_monai.networks import LSINet
from lsinet_monai.networks.memory import read_from, to_elements

ADJACENT = ["next", "previous", "clearest"]
FRAMES = 6


def _clips(frames: int = FRAMES, batch: int = 2) -> Tensor:
    """Scenes that change a little from frame to frame."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(batch, 3, 1, 64, 96, generator=generator)
    return scene + 0.3 * torch.randn(batch, 3, frames, 64, 96, generator=generator).cumsum(2)


@pytest.fixture
def trained(embedding_network: LSINet) -> LSINet:
    """A network whose weights need gradients, but for the encoder's."""
    return copy.deepcopy(embedding_network).train().requires_grad_().freeze_encoder()


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("mask_embedding", [False, True])
@torch.no_grad()
def test_it_is_the_sequential_inferer(
    small_network: LSINet, embedding_network: LSINet, adjacent: str, mask_embedding: bool
) -> None:
    network = copy.deepcopy(embedding_network if mask_embedding else small_network)
    clips = _clips()
    expected = SequentialVideoInferer(memory_interval=1, adjacent=adjacent)(clips, network)
    for loss_frames in (FRAMES, 3):
        logits = ClipTrainingInferer(loss_frames, adjacent)(clips, network.train())
        assert [x.shape for x in logits] == 4 * [(2, loss_frames, 64, 96)]
        torch.testing.assert_close(logits[-1], expected[:, 0, -loss_frames:], atol=1e-4, rtol=1e-4)


class _Keys(nn.Module):
    """Keys and values that remember what was computed with gradients, so that a test sees what reaches each frame."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.keys: list[Tensor] = []

    def forward(self, features: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        keys, values = self.inner(features)
        if keys[0].requires_grad:
            keys[0].retain_grad()
            self.keys.append(keys[0])
        return keys, values


def test_gradients_flow_through_the_last_frames_only(trained: LSINet) -> None:
    """The loss of the last frame reaches the keys of the two frames before it, and no older ones."""
    trained.keys_and_values = _Keys(trained.keys_and_values)  # type: ignore[assignment]
    logits = ClipTrainingInferer(3)(_clips(), trained)
    logits[-1][:, -1].sum().backward()
    found = trained.keys_and_values.keys
    assert len(found) == 3  # of the frames 3, 4 and 5; those of older frames have no gradients
    assert all(keys.grad is not None and keys.grad.abs().max() > 0 for keys in found)


@torch.no_grad()
def test_a_given_mask_is_written_in_place_of_the_networks_own(embedding_network: LSINet) -> None:
    """The last of two frames reads the first one, with its given mask, in those rows that have one."""
    network, clips = copy.deepcopy(embedding_network), _clips(2)
    mask = torch.zeros(2, 1, 64, 96)
    mask[..., 16:48, 16:48] = 1
    found, own = (
        ClipTrainingInferer(1)(clips, network, given_mask=mask, given_frame=torch.tensor(frames))[-1]
        for frames in ([0, -1], [-1, -1])
    )
    first, last = (network.encode(clips[:, :, index]) for index in range(2))
    elements = ([to_elements(x) for x in kind] for kind in (first.keys, network.values_by_mask(first, mask)))
    logits = network.decode(last, first, read_from(last.keys, *elements))
    expected = network.upsample_logits(logits, (64, 96))[-1]
    torch.testing.assert_close(found[0], expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], own[1], atol=1e-5, rtol=0)
    assert (found[0] - own[0]).abs().max() > 1e-3


def test_the_write_of_a_given_mask_has_gradients(trained: LSINet) -> None:
    trained.keys_and_values = _Keys(trained.keys_and_values)  # type: ignore[assignment]
    mask = torch.ones(2, 1, 64, 96)
    logits = ClipTrainingInferer(2)(_clips(5), trained, given_mask=mask, given_frame=torch.tensor([0, -1]))
    logits[-1].sum().backward()
    of_the_given_frame = trained.keys_and_values.keys[0].grad
    assert len(trained.keys_and_values.keys) == 3
    assert of_the_given_frame[0].any() and not of_the_given_frame[1].any()


def test_all_but_the_encoder_learns(trained: LSINet) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], 0.01, weight_decay=0.1)
    for logit in ClipTrainingInferer(3)(_clips(), trained):
        (logit**2).mean().backward(retain_graph=True)
    without = {name for name, p in trained.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in without if not name.startswith("encoder.")} == set()
    optimizer.step()
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in changed if name.startswith("encoder.") or "running" in name or "num_batches" in name]
    parts = {name.partition(".")[0] for name in changed}
    assert parts == {"keys_and_values", "alignment", "harmonisation", "decoder", "mask_embedding"}


def test_in_half_precision_logits_are_float32(trained: LSINet) -> None:
    logits = ClipTrainingInferer(2, amp_dtype="bfloat16")(_clips(3), trained)
    assert all(logit.dtype == torch.float32 for logit in logits)
    sum(logit.mean() for logit in logits).backward()
    assert trained.keys_and_values.key[0].weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda network: ClipTrainingInferer(3)(_clips(2), network), "of 3 frames or more"),
        (lambda network: ClipTrainingInferer(3)(_clips()[:, :, 0], network), r"\(B, 3, T, H, W\)"),
        (lambda network: ClipTrainingInferer(3)(_clips(), nn.Sequential(network)), "takes an LSINet, not Sequential"),
        (lambda network: ClipTrainingInferer(0), "loss_frames=0"),
        (lambda network: ClipTrainingInferer(adjacent="both"), "adjacent='both'"),
    ],
)
def test_bad_calls(small_network: LSINet, make: Callable[[LSINet], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(small_network)
