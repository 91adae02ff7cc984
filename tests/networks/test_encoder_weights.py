"""Files of weights as they are found: every form gives the same backbone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks.encoder import create_backbone
from lsinet_monai.networks.encoder_weights import _read, averaged_entries

State = dict[str, Tensor]


def _prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


def _without_head(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("classifier.")}


def _zeros(state: State) -> State:
    return {name: torch.zeros_like(value) for name, value in state.items()}


# What is done to the state dict of a classifier before it is saved.
FORMS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "no head": _without_head,
    "five classes": lambda state: state | {"classifier.weight": torch.zeros(5, 9), "classifier.bias": torch.zeros(5)},
    "module": _prefixed("module."),
    "model": _prefixed("model."),
    "backbone": _prefixed("backbone."),
    "compiled": _prefixed("_orig_mod."),
    "repeated": _prefixed("module.module."),
    "combined": _prefixed("module.model.backbone."),
    "a segmentation network": lambda state: _prefixed("backbone.")(state) | {"decode_head.weight": torch.zeros(3)},
    "nested": lambda state: {"model": {"state_dict": state}, "epoch": 3},
    "averaged in timm": lambda state: {
        "state_dict": _zeros(state), "state_dict_ema": state, "args": argparse.Namespace(lr=0.1), "epoch": 3,
    },
    "averaged elsewhere": lambda state: {"model": _zeros(state), "model_ema": _prefixed("module.")(state)},
    "averaged by PyTorch": lambda state: {"model_ema": _prefixed("module.")(state) | {"n_averaged": torch.tensor(9)}},
    "half precision": lambda state: {name: value.half() if value.ndim else value for name, value in state.items()},
    "bfloat16": lambda state: {name: value.bfloat16() if value.ndim else value for name, value in state.items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def state() -> State:
    return timm.create_model("mobilenetv3_small_100").state_dict()


def _assert_holds(backbone: torch.nn.Module, state: State) -> None:
    loaded = backbone.state_dict()
    assert loaded and loaded.keys() <= state.keys()
    for name, value in loaded.items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_file(tmp_path: Path, state: State, form: str) -> None:
    torch.save(FORMS[form](state), tmp_path / "weights.pth")
    backbone = create_backbone("mobilenetv3_small_100", encoder_weights=tmp_path / "weights.pth")
    rounding = {"half precision": torch.float16, "bfloat16": torch.bfloat16}.get(form, torch.float32)
    _assert_holds(backbone, {k: v.to(rounding).to(v.dtype) if v.ndim else v for k, v in state.items()})
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_safetensors(tmp_path: Path, state: State) -> None:
    save_file(_prefixed("backbone.")(state), tmp_path / "weights.safetensors")
    backbone = create_backbone("mobilenetv3_small_100", encoder_weights=tmp_path / "weights.safetensors")
    _assert_holds(backbone, state)


# Backbones whose feature extractors in timm name their weights in three ways.
@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "convnext_atto", "efficientvit_b0"])
def test_names_of_a_feature_extractor(tmp_path: Path, name: str) -> None:
    features = timm.create_model(name, features_only=True)
    torch.save(features.state_dict(), tmp_path / "weights.pth")
    backbone = create_backbone(name, encoder_weights=tmp_path / "weights.pth")
    _assert_holds(backbone, features.state_dict())


def _names_of_efficientnet_lite(blocks: int) -> list[str]:
    """The names of the package ``efficientnet_lite_pytorch``, in its order, which is that of timm's tensors."""
    modules = ["_conv_stem", "_bn0"]
    for block in range(blocks):
        parts = ["_expand_conv", "_bn0"] if block else []
        parts += ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        modules += [f"_blocks.{block}.{part}" for part in parts]
    modules += ["_conv_head", "_bn1", "_fc"]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    kinds = [norm if "_bn" in x else ["weight", "bias"] if x == "_fc" else ["weight"] for x in modules]
    return [f"{module}.{kind}" for module, of_module in zip(modules, kinds, strict=True) for kind in of_module]


@pytest.mark.parametrize(("number", "blocks"), [(0, 16), (1, 21), (2, 21)])
def test_names_of_efficientnet_lite(tmp_path: Path, number: int, blocks: int) -> None:
    name = f"tf_efficientnet_lite{number}"
    model = timm.create_model(name)
    state = dict(zip(_names_of_efficientnet_lite(blocks), model.state_dict().values(), strict=True))
    torch.save(state, tmp_path / "weights.pth")
    _assert_holds(create_backbone(name, encoder_weights=tmp_path / "weights.pth"), model.state_dict())
    with pytest.raises(InputError, match="the names are those of tf_efficientnet_lite0 to tf_efficientnet_lite4"):
        create_backbone("efficientnet_lite0", encoder_weights=tmp_path / "weights.pth")


# (content, a part of the error)
UNFIT: list[tuple[Callable[[State], Any], str]] = [
    (lambda state: [torch.zeros(1)], "no state dict"),
    (lambda state: {"state_dict": "none"}, "Missing key"),
    (lambda state: {k: v for k, v in state.items() if k != "blocks.1.0.bn1.weight"}, "blocks.1.0.bn1.weight"),
    (lambda state: state | {"conv_stem.weight": torch.zeros(8, 3, 3, 3)}, "conv_stem.weight"),
    (lambda state: {"_conv_stem.weight": torch.zeros(1)}, "the names are those of tf_efficientnet_lite0"),
]


@pytest.mark.parametrize(("content", "said"), UNFIT)
def test_files_that_do_not_fit(tmp_path: Path, state: State, content: Callable[[State], Any], said: str) -> None:
    file = tmp_path / "weights.pth"
    torch.save(content(state), file)
    with pytest.raises(InputError) as error:
        create_backbone("mobilenetv3_small_100", encoder_weights=file)
    message = str(error.value)
    assert f"encoder_weights={str(file)!r} does not hold" in message and said in message and "\n" not in message


def test_another_networks_lite_weights(tmp_path: Path) -> None:
    model = timm.create_model("tf_efficientnet_lite1")
    torch.save(dict(zip(_names_of_efficientnet_lite(21), model.state_dict().values(), strict=True)), tmp_path / "w.pth")
    with pytest.raises(InputError, match="it has 21 blocks, not 16"):
        create_backbone("tf_efficientnet_lite0", encoder_weights=tmp_path / "w.pth")


def test_arguments_in_a_checkpoint_run_nothing(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": {}, "args": argparse.Namespace(x=Payload())}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="does not hold weights"):
        create_backbone("mobilenetv3_small_100", encoder_weights=tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_averaged_weights_are_said(tmp_path: Path, state: State, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    torch.save({"state_dict": _zeros(state), "state_dict_ema": state}, tmp_path / "weights.pt")
    _read(tmp_path / "weights.pt")
    assert "weights.pt': the averaged weights are taken, under 'state_dict_ema'" in caplog.text


def test_which_entries_are_averaged_weights(state: State) -> None:
    content = {
        "model": state, "modelEma": state, "model-ema": {"state_dict": state}, "swa_scheduler": {"last_epoch": 1},
        "ema_config": {"decay": 0.9}, "schema": state,
    }  # fmt: skip
    assert averaged_entries(content) == ["modelEma", "model-ema"]
