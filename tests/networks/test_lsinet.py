from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet

SIZES = [(64, 64), (65, 97), (100, 352), (352, 352), (256, 320)]
NOT_FRAMES = [(1, 3, 63, 64), (1, 3, 64, 63), (1, 1, 64, 64), (1, 4, 64, 64), (3, 64, 64), (64,)]


def _frames(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@torch.no_grad()
def test_results_have_the_frames_size(small_network: LSINet, size: tuple[int, int]) -> None:
    frame = _frames(1, 3, *size)
    assert small_network(frame).shape == (1, 1, *size)
    assert [logit.shape for logit in small_network(frame, adjacent=frame.flip(3))] == 4 * [(1, 1, *size)]


@pytest.mark.parametrize("shape", NOT_FRAMES, ids=str)
def test_other_shapes_are_one_clear_error(small_network: LSINet, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"H and W of 64 or more") as error:
        small_network(torch.zeros(shape))
    assert str(shape) in str(error.value) and "\n" not in str(error.value)


@torch.no_grad()
def test_padding_repeats_the_border(small_network: LSINet) -> None:
    frame = _frames(1, 3, 64, 70)
    padded = torch.cat([frame, frame[..., -1:].expand(-1, -1, -1, 26)], 3)
    torch.testing.assert_close(small_network(frame), small_network(padded)[..., :70])


@torch.no_grad()
def test_a_lone_frame_is_its_own_memory_and_adjacent_frame(small_network: LSINet) -> None:
    frame = _frames(2, 3, 64, 96)
    alone = small_network(frame)
    assert alone.shape == (2, 1, 64, 96)
    for given in ({"adjacent": frame}, {"memory": frame}, {"adjacent": frame, "memory": frame}):
        logits = small_network(frame, **given)
        assert len(logits) == 4
        torch.testing.assert_close(logits[-1], alone)


@torch.no_grad()
def test_every_input_has_a_say(small_network: LSINet) -> None:
    current, adjacent, memory = (_frames(1, 3, 64, 64, seed=seed) for seed in range(3))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:40, 20:60] = 1
    before = small_network(current, adjacent=adjacent, memory=memory, memory_mask=mask)[-1]
    assert (small_network(current, adjacent=memory, memory=memory, memory_mask=mask)[-1] - before).abs().max() > 1e-2
    assert (
        small_network(current, adjacent=adjacent, memory=adjacent, memory_mask=mask)[-1] - before
    ).abs().max() > 1e-2
    # By construction a mask in memory has a slight effect, but it must have one.
    assert (small_network(current, adjacent=adjacent, memory=memory)[-1] - before).abs().max() > 1e-5


@torch.no_grad()
def test_every_frame_is_segmented_with_its_own_neighbour_and_memory(small_network: LSINet) -> None:
    current, adjacent, memory = (_frames(2, 3, 64, 96, seed=seed) for seed in range(3))
    mask = torch.zeros(2, 1, 64, 96)
    mask[..., 16:40, 20:60] = 1
    shared = {"memory": memory, "memory_mask": mask}
    every = small_network(current, adjacent=adjacent, **shared, every_frame=True)
    assert [logit.shape for logit in every] == 4 * [(2, 3, 64, 96)]
    alone = [
        small_network(current, adjacent=adjacent, **shared),
        small_network(adjacent, adjacent=current, **shared),
        small_network(memory, adjacent=current, memory=memory),
    ]
    for logit, *of_frames in zip(every, *alone, strict=True):
        torch.testing.assert_close(logit, torch.cat(of_frames, 1), atol=1e-4, rtol=1e-4)
    lone = small_network(current, every_frame=True)
    torch.testing.assert_close(lone[-1], small_network(current).expand(-1, 3, -1, -1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_rows_of_a_batch_do_not_mix(small_network: LSINet) -> None:
    current, adjacent, memory = (_frames(2, 3, 64, 64, seed=seed) for seed in range(3))
    together = small_network(current, adjacent=adjacent, memory=memory)
    for row in range(2):
        rows = slice(row, row + 1)
        alone = small_network(current[rows], adjacent=adjacent[rows], memory=memory[rows])
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[rows], single, atol=1e-4, rtol=1e-4)


def test_offsets_and_attention_start_at_zero() -> None:
    network = LSINet("pvt_v2_b0")
    for scale in network.alignment.scales:
        assert not scale.deform.offset.weight.any() and not scale.deform.offset.bias.any()
        assert not scale.deform.bias.any()
        # Uniform within 1 / sqrt(fan-in), 32 channels of 3x3 taps.
        bound = (32 * 9) ** -0.5
        assert 0.95 * bound < scale.deform.weight.abs().max() <= bound
    for attention in network.harmonisation.attention:
        assert not attention.expand.weight.any() and not attention.expand.bias.any()


def test_gradients_reach_every_parameter() -> None:
    network = LSINet("pvt_v2_b0", drop_path_rate=0.0).train()
    current, adjacent, memory = (_frames(2, 3, 64, 64, seed=seed) for seed in range(3))
    logits = network(current, adjacent=adjacent, memory=memory, memory_mask=torch.rand(2, 1, 64, 64))
    sum(logit.square().mean() for logit in logits).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("rate", "training", "is_random"), [(0.9, True, True), (0.9, False, False), (0.0, True, False)]
)
@torch.no_grad()
def test_drop_path_is_for_training(rate: float, training: bool, is_random: bool) -> None:
    torch.manual_seed(0)
    network = LSINet("pvt_v2_b0", drop_path_rate=rate).train(training)
    frame = _frames(4, 3, 64, 64)
    results = [network(frame) for _ in range(2)]
    assert torch.equal(*results) is not is_random


def test_the_config_builds_the_same_network() -> None:
    network = LSINet("mobilenetv3_small_100", drop_path_rate=0.1)
    assert network.config == {"backbone": "mobilenetv3_small_100", "drop_path_rate": 0.1}
    LSINet(**network.config).load_state_dict(network.state_dict())


def test_a_mask_embedding_is_off_by_default_and_starts_at_zero(small_network: LSINet) -> None:
    assert not [name for name in small_network.state_dict() if "mask_embedding" in name]
    with_embedding = copy.deepcopy(small_network)
    with_embedding.add_mask_embedding()
    assert with_embedding.config == {**small_network.config, "mask_embedding": True}
    assert with_embedding.fingerprint() != small_network.fingerprint()
    LSINet(**with_embedding.config).load_state_dict(with_embedding.state_dict())
    frames = [_frames(1, 3, 64, 96, seed=seed) for seed in range(3)]
    mask = (_frames(1, 1, 64, 96) > 0).float()
    with torch.no_grad():
        for before, after in zip(small_network(*frames, mask), with_embedding(*frames, mask), strict=True):
            torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_a_prompt_head_is_off_by_default_and_changes_no_mask(small_network: LSINet) -> None:
    assert not [name for name in small_network.state_dict() if "prompt_head" in name]
    with_head = copy.deepcopy(small_network)
    with_head.add_prompt_head()
    assert with_head.config == {**small_network.config, "prompt_head": True}
    assert with_head.fingerprint() == small_network.fingerprint()
    LSINet(**with_head.config).load_state_dict(with_head.state_dict())
    frames = [_frames(1, 3, 64, 96, seed=seed) for seed in range(3)]
    with torch.no_grad():
        for before, after in zip(small_network(*frames), with_head(*frames), strict=True):
            torch.testing.assert_close(after, before, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_refine_segments_an_encoded_frame(small_network: LSINet, dtype: torch.dtype) -> None:
    network = copy.deepcopy(small_network)
    network.add_prompt_head()
    network.to(dtype).eval()
    frame = _frames(1, 3, 72, 100)  # is padded to 96 x 128
    features, detail = network.encode(frame), network.prompt_head.see_frame(frame)
    points, labels = torch.tensor([[[20.0, 30.0], [90.0, 10.0]]]), torch.tensor([[1, 0]])
    logit = network.refine(features, detail, points, labels)
    assert logit.shape == (1, 1, 24, 32) and logit.dtype == torch.float32
    again = network.refine(features, detail, points, labels, torch.tensor([[5.0, 5.0, 60.0, 60.0]]), logit.sigmoid())
    assert again.shape == logit.shape and not torch.equal(again, logit)


@torch.no_grad()
def test_refine_needs_a_prompt_head(small_network: LSINet) -> None:
    frame = _frames(1, 3, 64, 64)
    with pytest.raises(InputError, match="no prompt head"):
        small_network.refine(
            small_network.encode(frame), torch.zeros(1, 24, 16, 16), torch.zeros(1, 1, 2), torch.ones(1, 1)
        )


@torch.no_grad()
def test_the_mask_embedding_is_added_to_what_is_written(small_network: LSINet) -> None:
    network = copy.deepcopy(small_network)
    network.add_mask_embedding()
    bias = 0.5 * torch.arange(16.0)
    for *_, last in network.mask_embedding.scales:
        last.bias.copy_(bias)
    features = network.encode(_frames(1, 3, 64, 64))
    logits = network.decode(features, features, features.read_own())
    mask = torch.ones(1, 1, 64, 64)
    for written, before in (
        (network.values_for_memory(features, logits), small_network.values_for_memory(features, logits)),
        (network.values_by_mask(features, mask), small_network.values_by_mask(features, mask)),
    ):
        for x, y in zip(written, before, strict=True):
            torch.testing.assert_close(x - y, bias[:, None, None].expand_as(x[0])[None], atol=1e-5, rtol=0)


def test_values_are_weighted_by_their_own_scales_logit() -> None:
    network = LSINet("mobilenetv3_small_100").eval()
    with torch.no_grad():
        features = network.encode(_frames(1, 3, 64, 64))
    # (S_g, S_5, S_4, S_3) at strides 8, 32, 16, 8.
    logits = [_frames(1, 1, side, side, seed=side) for side in (8, 2, 4, 8)]
    weighted = network.values_for_memory(features, logits)
    for value, result, logit in zip(features.values, weighted, (logits[3], logits[2], logits[1]), strict=True):
        torch.testing.assert_close(result, value * (1 + logit.exp() / logit.exp().sum()))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.1), (torch.float16, 0.02), (torch.float64, 1e-4)])
@torch.no_grad()
def test_weights_of_any_type(small_network: LSINet, dtype: torch.dtype, error: float) -> None:
    network = copy.deepcopy(small_network).to(dtype)
    current, adjacent, memory = (_frames(2, 3, 65, 96, seed=seed) for seed in range(3))
    mask = torch.zeros(2, 1, 65, 96)
    mask[..., 16:40, 20:60] = 1
    given = {"adjacent": adjacent, "memory": memory, "memory_mask": mask}
    for every_frame in (False, True):
        expected = small_network(current, **given, every_frame=every_frame)
        result_type = torch.promote_types(dtype, torch.float32)
        for frames in (current, current.to(dtype)):
            for found, logit in zip(network(frames, **given, every_frame=every_frame), expected, strict=True):
                assert found.dtype == result_type
                assert (found - logit).abs().mean() < error * logit.std()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@torch.no_grad()
def test_frames_of_any_type(small_network: LSINet, dtype: torch.dtype) -> None:
    frames = _frames(1, 3, 64, 96).to(dtype)
    found = small_network(frames)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, small_network(frames.float()))


@pytest.mark.parametrize(("backbone", "passes"), [("pvt_v2_b0", 1), ("mobilenetv3_small_050", 3)])
def test_one_pass_encodes_all_frames_of_a_sample(monkeypatch: pytest.MonkeyPatch, backbone: str, passes: int) -> None:
    torch.manual_seed(0)
    joined = LSINet(backbone, drop_path_rate=0).train()
    separate = copy.deepcopy(joined)
    frames = [_frames(2, 3, 64, 64, seed=seed) for seed in range(3)]
    calls: list[int] = []
    joined.encoder.backbone.register_forward_hook(lambda *_: calls.append(1))
    logits = joined(frames[0], adjacent=frames[1], memory=frames[2], every_frame=True)
    assert len(calls) == passes
    monkeypatch.setattr(type(separate.encoder), "sees_single_frames", False)
    expected = separate(frames[0], adjacent=frames[1], memory=frames[2], every_frame=True)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    # BatchNorm's statistics are those of separate passes too.
    torch.testing.assert_close(dict(joined.named_buffers()), dict(separate.named_buffers()), rtol=1e-4, atol=1e-5)
