from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, convert_released_state_dict

MANIFEST = Path(__file__).parents[1] / "parity" / "manifest_pvt_v2_b1.json"
KEY = "membranch.Key0.weight"
BACKBONE = "backbone.feat_net.pvtv2_en."
PATCH = f"{BACKBONE}patch_embed1.proj.weight"
NORM = "backbone.feat_net.rfb2_1.branch1.1.bn.running_var"

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def released() -> State:
    """A state dict with the released names and shapes, every tensor filled with its own number."""
    shapes = json.loads(MANIFEST.read_text())
    return {name: torch.full(shape, float(i)) for i, (name, shape) in enumerate(shapes.items())}


def _changed(changes: dict[str, Any]) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in {**state, **changes}.items() if value is not None}


def _without(prefix: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if not name.startswith(prefix)}


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "module": lambda state: {f"module.{name}": value for name, value in state.items()},
    "nested": lambda state: {"epoch": 3, "state_dict": state},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "compiled in part": lambda state: {
        name.replace("backbone.", "backbone._orig_mod.", 1): value for name, value in state.items()
    },
    "compiled, on several devices": lambda state: {
        "epoch": 3,
        "model": {f"module._orig_mod.{name}": value for name, value in state.items()},
        "optimizer": {},
    },
    "of a larger module": lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.5},
    "nested twice": lambda state: {"model": {"state_dict": state}},
    "nested module": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
}

# A fault of the state dict, and parts of the error.
FAULTS = [
    pytest.param(_changed({KEY: None}), [f"missing: {KEY}"], id="missing"),
    pytest.param(_changed({NORM: None, KEY: None}), [NORM, KEY], id="two missing"),
    pytest.param(_changed({PATCH: None}), [f"missing: {PATCH}"], id="first missing"),
    pytest.param(_changed({"extra.weight": torch.zeros(1)}), ["unexpected: extra.weight"], id="unexpected"),
    pytest.param(_changed({f"{KEY}s": torch.zeros(1)}), [f"unexpected: {KEY}s"], id="unexpected in a known block"),
    pytest.param(_changed({KEY: torch.zeros(5, 32, 3, 3)}), ["mis-shaped", KEY, "(5, 32, 3, 3)", "(4, 32, 3, 3)"]),
    pytest.param(_changed({KEY: "text"}), ["mis-shaped", KEY, "str"], id="no tensor"),
    pytest.param(_changed({PATCH: torch.tensor(0.0)}), ["mis-shaped", PATCH], id="scalar"),
    pytest.param(
        _changed({PATCH: torch.zeros(7, 3, 7, 7)}), ["mis-shaped", PATCH, "(7, 3, 7, 7)"], id="no width of PVTv2"
    ),
    pytest.param(
        _without(f"{BACKBONE}block4.1."), ["pvt_v2_b1", f"missing: {BACKBONE}block4.1."], id="a block missing"
    ),
    pytest.param(_without(BACKBONE), [f"missing: {BACKBONE}"], id="no backbone"),
    pytest.param(_changed({KEY: None, "extra": torch.zeros(1)}), ["missing", "unexpected"], id="several faults"),
]

NO_MODEL_FILE: dict[str, Any] = {
    "empty": {},
    "list": [1, 2],
    "none": None,
    "tensor": torch.zeros(3),
    "another network's": {"conv1.weight": torch.zeros(1)},
}


@pytest.fixture(scope="module")
def network() -> LSINet:
    return LSINet("pvt_v2_b1")


@pytest.mark.slow
@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_every_entry_arrives(network: LSINet, released: State, wrap: Callable[[State], Any]) -> None:
    converted = convert_released_state_dict(wrap(released))
    network.load_state_dict(converted)
    numbers = sorted(float(value.flatten()[0]) for value in converted.values())
    assert numbers == list(range(len(released)))


@pytest.mark.slow
def test_the_input_is_not_changed(released: State) -> None:
    before = dict(released)
    convert_released_state_dict(released)
    assert list(released) == list(before) and all(released[name] is before[name] for name in before)


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_faults_are_named(released: State, change: Callable[[State], State], said: list[str]) -> None:
    with pytest.raises(InputError) as error:
        convert_released_state_dict(change(released))
    message = str(error.value)
    assert all(part in message for part in said), message
    assert "\n" not in message


def test_a_long_list_of_faults_is_cut(released: State) -> None:
    half = {name: value for i, (name, value) in enumerate(released.items()) if i % 2 or ".block" in name}
    missing = len(released) - len(half)
    with pytest.raises(InputError, match=f"and {missing - 20} more"):
        convert_released_state_dict(half)


@pytest.mark.parametrize("state", NO_MODEL_FILE.values(), ids=NO_MODEL_FILE)
def test_no_model_file_at_all(state: Any) -> None:
    with pytest.raises(InputError, match="not a model file of the released LSI-Net"):
        convert_released_state_dict(state)


def test_our_own_state_dict() -> None:
    with torch.device("meta"):
        state = LSINet("pvt_v2_b1").state_dict()
    with pytest.raises(InputError, match="not a model file of the released LSI-Net"):
        convert_released_state_dict(state)
