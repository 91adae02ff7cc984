"""Convert the model files of the released program: its names of weights to ours."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks.lsinet import LSINet

__all__ = ["convert_released_state_dict", "is_released_state_dict", "weights_entry", "without_wrappers"]

BACKBONE = "backbone.feat_net.pvtv2_en."
SCALES = (0, 1, 2)
_ENTRIES = ("state_dict", "model_state_dict", "model", "network", "net")
_WRAPPERS = ("module.", "model.", "network.", "net.")


def _prefixes() -> list[tuple[str, str]]:
    """Pairs of prefixes (theirs, ours). Of two prefixes that begin alike, the longer one comes first."""
    pairs = [(f"{BACKBONE}patch_embed1.", "encoder.backbone.patch_embed.")]
    for stage in range(4):
        ours = f"encoder.backbone.stages_{stage}."
        if stage:
            pairs.append((f"{BACKBONE}patch_embed{stage + 1}.", f"{ours}downsample."))
        pairs += [(f"{BACKBONE}block{stage + 1}.", f"{ours}blocks."), (f"{BACKBONE}norm{stage + 1}.", f"{ours}norm.")]
    for scale in SCALES:
        theirs, ours = f"backbone.feat_net.rfb{scale + 2}_1.", f"encoder.receptive_field.{scale}."
        pairs += [(f"{theirs}branch{i}.", f"{ours}branches.{i}.") for i in range(4)]
        pairs += [(f"{theirs}conv_cat.", f"{ours}join."), (f"{theirs}conv_res.", f"{ours}shortcut.")]
        for name in ("key", "value"):
            pairs.append((f"membranch.{name.title()}{scale}.", f"keys_and_values.{name}.{scale}."))
        ours, layer = f"alignment.scales.{scale}.", f"l{scale + 1}."
        pairs += [(f"pcd_align.offset_conv{i}.{layer}", f"{ours}offset{i}.") for i in (1, 2, 3)]
        pairs += [
            (f"pcd_align.dcn_pack.{layer}conv_offset.", f"{ours}deform.offset."),
            (f"pcd_align.dcn_pack.{layer}", f"{ours}deform."),
            (f"pcd_align.feat_conv.{layer}", f"{ours}fuse."),
        ]
        theirs, ours = f"nlnet.nl_layer{scale + 1}.", f"harmonisation.attention.{scale}."
        pairs += [
            (f"{theirs}g.0.", f"{ours}value."),
            (f"{theirs}W.", f"{ours}expand."),
            (f"{theirs}residual_conv.", f"{ours}residual."),
            (f"nlnet.conv{scale + 1}.", f"harmonisation.fuse.{scale}."),
        ]
        theirs, ours = f"backbone.decoder.RS{scale + 3}.", f"decoder.reverse.{scale}.blocks."
        for i, strength in enumerate(("weak", "medium", "strong")):
            pairs.append((f"{theirs}{strength}_gra.conv.0.", f"{ours}{i}.refine."))
            pairs.append((f"{theirs}{strength}_gra.score.", f"{ours}{i}.score."))
    theirs, ours = "backbone.decoder.NCD.", "decoder.guide."
    pairs += [(f"{theirs}conv_upsample{i}.", f"{ours}up{i}.") for i in range(1, 6)]
    pairs += [(f"{theirs}conv_concat{i}.", f"{ours}join{i}.") for i in (2, 3)]
    return [*pairs, (f"{theirs}conv4.", f"{ours}head."), (f"{theirs}conv5.", f"{ours}score.")]


PREFIXES = _prefixes()


def _to_ours(name: str) -> str | None:
    """Convert a name of the released network to ours; None if that network has no such entry."""
    for theirs, ours in PREFIXES:
        if name.startswith(theirs):
            rest = name[len(theirs) :]
            if theirs.startswith(BACKBONE):
                return ours + rest.replace("dwconv.dwconv.", "dwconv.")
            return ours + re.sub(r"(^|\.)bn\.", r"\1norm.", rest)
    return None


def _to_theirs(name: str) -> str:
    """Convert one of our names to the released network's."""
    for theirs, ours in PREFIXES:
        if name.startswith(ours):
            rest = name[len(ours) :]
            if theirs.startswith(BACKBONE):
                return theirs + rest.replace("dwconv.", "dwconv.dwconv.")
            return theirs + re.sub(r"(^|\.)norm\.", r"\1bn.", rest)
    raise ValueError(f"{name} has no counterpart in the released network")


def _unwrap(state: Mapping[str, Any]) -> dict[str, Any]:
    """Take the state dict out of a file that a training wrote, and remove the wrappers from its names."""
    while (entry := weights_entry(state)) is not None:
        state = state[entry]
    return without_wrappers(state)


def weights_entry(content: Mapping[str, Any]) -> str | None:
    """The name of the entry of a training's file that holds the weights; None if the file holds no other dictionary."""
    return next((key for key in _ENTRIES if isinstance(content.get(key), Mapping)), None)


def without_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the prefixes of ``torch.compile`` and of wrappers such as ``DataParallel`` from a state dict's names.

    Args:
        state: names to tensors; a name may have several of ``_orig_mod.``, ``module.`` and ``model.`` in front, and
            ``_orig_mod.`` anywhere.

    Returns:
        the same tensors by their names without prefixes.
    """
    unwrapped = {}
    for name, value in state.items():
        bare = str(name).replace("_orig_mod.", "")
        while prefix := next(filter(bare.startswith, _WRAPPERS), None):
            bare = bare.removeprefix(prefix)
        unwrapped[bare] = value
    return unwrapped


def is_released_state_dict(state: Any) -> bool:
    """Whether a file's content has an entry with a name of the released network.

    Args:
        state: the content, of any type.
    """
    return isinstance(state, Mapping) and any(_to_ours(name) is not None for name in _unwrap(state))


@functools.cache
def _backbone_entries(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a timm backbone inside LSINet."""
    with torch.device("meta"):
        entries = timm.create_model(name, features_only=True).state_dict()
    return {f"encoder.backbone.{entry}": tuple(value.shape) for entry, value in entries.items()}


def _find_backbone(state: Mapping[str, Any]) -> str:
    """Find the PVTv2 that a released state dict belongs to.

    Entries may be missing or damaged, so this takes the PVTv2 that has the most names and shapes in common with it.
    """
    found = {_to_ours(name): _shape(value) for name, value in state.items() if name.startswith(BACKBONE)}

    def likeness(name: str) -> float:
        entries = _backbone_entries(name)
        alike = sum(found.get(entry) == shape for entry, shape in entries.items())
        return alike / (len(entries) + len(found) - alike)

    return max(timm.list_models("pvt_v2_b?"), key=likeness)


def convert_released_state_dict(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert a model file of the authors' program into a state dict of :class:`LSINet` with the same PVTv2.

    Args:
        state: the file's content, from ``torch.load(file, weights_only=True)``: names to tensors. Names may have
            prefixes as in :func:`without_wrappers`, and the dict may be nested under ``state_dict``, ``model`` or such.

    Returns:
        the weights by our names, in the order of ``LSINet.state_dict()``.

    Raises:
        InputError: the content is not that of a complete model file. The message names missing, unexpected and
            mis-shaped entries.
    """
    return convert_with_backbone(state)[1]


def convert_with_backbone(state: Mapping[str, Any]) -> tuple[str, dict[str, Tensor]]:
    """Convert as :func:`convert_released_state_dict` does, and also find the backbone.

    Args:
        state: see :func:`convert_released_state_dict`.

    Returns:
        timm's name of the PVTv2, and the state dict.

    Raises:
        InputError: see :func:`convert_released_state_dict`.
    """
    if not is_released_state_dict(state):
        raise InputError(
            "this is not a model file of the released LSI-Net: none of its entries has a name from that network"
        )
    theirs = _unwrap(state)
    backbone = _find_backbone(theirs)
    with torch.device("meta"):
        expected = LSINet(backbone).state_dict()
    ours = {name: _to_ours(name) for name in theirs}
    converted = {ours_: theirs[name] for name, ours_ in ours.items() if ours_ in expected}
    problems = {
        "missing": [_to_theirs(name) for name in expected if name not in converted],
        "unexpected": [name for name, ours_ in ours.items() if ours_ not in expected],
        "mis-shaped": [
            f"{_to_theirs(name)} {_shape(value)}, not {_shape(expected[name])}"
            for name, value in converted.items()
            if _shape(value) != _shape(expected[name])
        ],
    }
    if any(problems.values()):
        found = "; ".join(f"{kind}: {_some(names)}" for kind, names in problems.items() if names)
        raise InputError(f"this is not a complete model file of the released LSI-Net with {backbone}: {found}")
    return backbone, {name: converted[name] for name in expected}


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _some(names: list[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
