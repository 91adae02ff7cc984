from __future__ import annotations

import platform
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from lsinet_monai.networks import LSINet
from lsinet_monai.networks.half_precision import halve_encoder, warn_of_slow_bfloat16


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_whole_encoder_is_in_half_precision(make_small_network: Callable[..., LSINet], dtype: torch.dtype) -> None:
    network = make_small_network("mobilenetv3_small_050")
    before = network.fingerprint()
    half = halve_encoder(network, dtype)
    types = []
    for module in half.encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    frame = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features, expected = half.encode(frame), network.encode(frame)
    assert set(types) == {dtype}
    norms = [module for module in half.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    own = [module for module in network.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(torch.equal(x.running_var, y.running_var) for x, y in zip(norms, own, strict=True))
    assert {x.dtype for x in tree_leaves(features)} == {torch.float32}
    for found, wanted in zip(tree_leaves(features), tree_leaves(expected), strict=True):
        assert 0 < (found - wanted).abs().mean() < 0.1 * wanted.std()
    assert network.fingerprint() == before


@torch.no_grad()
def test_other_statistics_are_applied_before_rounding() -> None:
    torch.manual_seed(0)
    network = LSINet("mobilenetv3_small_050", drop_path_rate=0, mean=[0.5] * 3, std=[0.5] * 3).eval()
    half = halve_encoder(network, torch.bfloat16)
    given = []
    half.encoder.encoder.backbone.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    frame = torch.randn(1, 3, 64, 64)
    half.encode(frame)
    assert torch.equal(given[0], network.encoder.renormalise(frame).bfloat16())


@pytest.mark.parametrize(
    ("amp_dtype", "device", "machine", "has_instructions", "warns"),
    [
        ("bfloat16", "cpu", "x86_64", False, True),
        ("bfloat16", "cpu", "x86_64", True, False),
        ("bfloat16", "cpu", "arm64", False, False),
        ("bfloat16", "cuda", "x86_64", False, False),
        ("float16", "cpu", "x86_64", False, False),
        (None, "cpu", "x86_64", False, False),
    ],
)
def test_a_cpu_without_bfloat16_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, amp_dtype: str | None, device: str, machine: str,
    has_instructions: bool, warns: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    warn_of_slow_bfloat16.cache_clear()
    for _ in range(2):
        warn_of_slow_bfloat16(amp_dtype, device)
    assert [("ten times slower" in record.message) for record in caplog.records] == [True] * warns
    warn_of_slow_bfloat16.cache_clear()
