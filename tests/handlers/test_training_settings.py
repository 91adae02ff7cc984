from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, RandGaussianNoised
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR

from lsinet_monai.data import Clip, TrainingDataset, TrainingSampler
from lsinet_monai.handlers import GradientClipping, SamplerEpoch
from lsinet_monai.handlers.training_settings import differences, settings_of
from lsinet_monai.inferers import SequentialVideoInferer, TrainingInferer
from lsinet_monai.losses import LSINetLoss
from lsinet_monai.metrics import ClipDice
from lsinet_monai.networks import LSINet
from lsinet_monai.transforms import training_transforms

CLIPS = [Clip("case1", ["0.png", "1.png"], ["0.png", "1.png"])]


def _weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]


def _warm_up(optimizer: Any) -> SequentialLR:
    parts = [LinearLR(optimizer, 0.1, total_iters=5), CosineAnnealingLR(optimizer, 20)]
    return SequentialLR(optimizer, parts, milestones=[5])


def _loader(**options: Any) -> DataLoader:
    dataset = TrainingDataset(CLIPS, training_transforms(64, **options))
    return DataLoader(dataset, sampler=TrainingSampler(CLIPS, max_skip=3, seed=5), batch_size=4, num_workers=0)


def _evaluator(amp: bool) -> SupervisedEvaluator:
    return SupervisedEvaluator(torch.device("cpu"), [], nn.Identity(), amp=amp)


# A part, and what is recorded of it among others.
PARTS: list[tuple[Any, dict[str, Any]]] = [
    (3, {"part": 3}),
    ({"a": 1, "b": {"c": "text"}}, {"part#a": 1, "part#b#c": "text"}),
    (torch.float32, {"part": "torch.float32"}),
    (object(), {"part#_target_": "object"}),
    (SimpleNamespace(settings={"decay": 0.9}), {"part#_target_": "SimpleNamespace", "decay": 0.9}),
    (LSINetLoss(weighted_bce=False), {"part#_target_": "LSINetLoss", "weighted_bce": False}),
    (SequentialVideoInferer(memory_interval=2), {"memory_interval": 2, "memory_frames": 35, "adjacent": "next"}),
    (TrainingInferer("bfloat16", every_frame=True), {"amp_dtype": "bfloat16", "every_frame": True}),
    (ClipDice(0.3), {"threshold": 0.3}),
    ([SamplerEpoch(), GradientClipping(0.5)], {"clip_gradients": 0.5}),
    (Adam(_weights(), lr=0.1), {"part#_target_": "Adam", "learning_rate": 0.1, "part#betas": [0.9, 0.999]}),
    (
        AdamW([{"params": [weight], "lr": rate} for weight, rate in zip(_weights(), (0.1, 0.01), strict=True)], lr=0.1),
        {"part#_target_": "AdamW", "learning_rate": 0.1, "part#param_groups#1#lr": 0.01, "part#weight_decay": 0.01},
    ),
    (
        StepLR(Adam(_weights()), 50),
        {"part#_target_": "StepLR", "learning_rate_step": 50, "part#gamma": 0.1},
    ),
    (
        _warm_up(Adam(_weights())),
        {"part#milestones": [5], "part#0#_target_": "LinearLR", "part#0#total_iters": 5, "part#1#T_max": 20},
    ),
    (
        [LrScheduleHandler(StepLR(Adam(_weights()), 50), epoch_level=False)],
        {"LrScheduleHandler#epoch_level": False},
    ),
    (_evaluator(True), {"part#amp": True}),
    (
        _loader(),
        {
            "batch_size": 4, "max_skip": [3], "seed": 5, "balance_clips": False, "negative_share": None,
            "image_size": 64, "read_size": None, "augment": True, "RandFlipClipd#prob": 0.5,
            "RandRotateClipd#max_degrees": 15, "sampler#_target_": "TrainingSampler",
        },
    ),
    (_loader(augment=False), {"augment": False}),
    (
        Compose([RandGaussianNoised("image", prob=0.25, std=0.2)]),
        {"part#_target_": ["RandGaussianNoised"], "RandGaussianNoised#rand_gaussian_noise#std": 0.2},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_settings_of(part: Any, expected: dict[str, Any]) -> None:
    assert settings_of({"part": part}).items() >= expected.items()


def test_a_schedule_does_not_hide_the_rate_that_it_starts_from() -> None:
    optimizer = SGD(_weights(), lr=0.1)
    before = settings_of({"optimizer": optimizer})
    _warm_up(optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    assert settings_of({"optimizer": optimizer}) == before


def test_the_network_has_its_arguments_and_its_memory_format() -> None:
    network = LSINet("mobilenetv3_small_100", drop_path_rate=0.0)
    expected = {"backbone": "mobilenetv3_small_100", "drop_path_rate": 0.0, "channels_last": False}
    assert settings_of({"network": network}).items() >= expected.items()
    network.encoder.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert settings_of({"network": network})["channels_last"]


def test_a_second_setting_of_a_name_has_its_object_in_front() -> None:
    parts = {"inferer": TrainingInferer("bfloat16"), "validate": {"inferer": SequentialVideoInferer()}}
    settings = settings_of(parts)
    assert settings["amp_dtype"] == "bfloat16" and settings["validate#inferer#amp_dtype"] is None


# The settings before and now, and the differences.
CHANGES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"seed": 0}, {"seed": 0}, []),
    ({"seed": 0}, {"seed": 3}, ["seed=3, which was 0"]),
    ({}, {"every_frame": False}, []),
    ({}, {"every_frame": True}, ["every_frame=True, which was None"]),
    ({"memory_frames": 35}, {}, ["memory_frames=None, which was 35"]),
    ({"image_size": 64, "max_skip": 5}, {"image_size": [64, 64], "max_skip": [5]}, []),
    ({"image_size": 64}, {"image_size": [64, 96]}, ["image_size=[64, 96], which was 64"]),
    (
        {"optimizer#_target_": "Adam", "optimizer#betas": [0.9, 0.999]},
        {"optimizer#_target_": "SGD", "optimizer#momentum": 0.9},
        ["optimizer#_target_='SGD', which was 'Adam'"],
    ),
    ({"optimizer#eps": 1e-8}, {"optimizer#eps": 1e-6}, ["optimizer#eps=1e-06, which was 1e-08"]),
    ({"network": {"backbone": "b1"}, "channels_last": False}, {"backbone": "b1", "channels_last": True}, []),
    ({"network": {"backbone": "b1"}}, {"backbone": "b5"}, ["backbone='b5', which was 'b1'"]),
]


@pytest.mark.parametrize(("was", "now", "expected"), CHANGES)
def test_differences(was: dict[str, Any], now: dict[str, Any], expected: list[str]) -> None:
    assert differences(was, now) == expected
