from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import (
    NUMBERS,
    as_bool,
    as_slice,
    check_choice,
    check_device,
    check_numbers,
    check_paths,
)

SWITCHES = [(True, True), ("true", True), ("True", True), (False, False), ("false", False), ("FALSE", False)]
NO_SWITCHES = [None, "", "yes", 1, 0, "none"]

RANGES = [
    (None, range(10)),
    (":", range(10)),
    ("2:5", range(2, 5)),
    ("7:", range(7, 10)),
    (":3", range(3)),
    ("8:99", range(8, 10)),
]


@pytest.mark.parametrize(("value", "expected"), SWITCHES)
def test_as_bool(value: Any, expected: bool) -> None:
    assert as_bool(value, "pretrained") is expected


@pytest.mark.parametrize("value", NO_SWITCHES)
def test_as_bool_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=r"^pretrained=.* is neither true nor false$"):
        as_bool(value, "pretrained")


@pytest.mark.parametrize(("value", "expected"), RANGES)
def test_as_slice(value: str | None, expected: range) -> None:
    assert range(10)[as_slice(value, "frames")] == expected


@pytest.mark.parametrize("value", ["", "5", "a:b", "-3:", "1:2:3", "5:5", "6:2", ":0", 7])
def test_as_slice_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=f"^frames={value!r} is (not A:B|empty)"):
        as_slice(value, "frames")


GOOD_NUMBERS: list[tuple[str, Any]] = [
    ("image_size", 64), ("image_size", [64, 352]), ("image_size", (64, 64)), ("max_skip", 1), ("max_skip", [5, 10]),
    ("seed", 0), ("seed", 2**32 - 1), ("num_workers", 0), ("threshold", 0), ("threshold", 1), ("threshold", 0.3),
    ("drop_path_rate", 0), ("validation_fraction", 0.99), ("learning_rate", 1e-5), ("batch_size", 1),
    ("save_steps", None), ("save_steps", 1), ("negative_share", None), ("negative_share", 0.5),
]  # fmt: skip
BAD_NUMBERS: list[tuple[str, Any]] = [
    ("image_size", 63), ("image_size", 352.0), ("image_size", [64, 63]), ("image_size", []), ("image_size", "352"),
    ("max_skip", 0), ("max_skip", []), ("max_skip", [5, 2.5]), ("seed", None), ("seed", 2**32), ("num_workers", -1),
    ("threshold", 1.01), ("threshold", -0.1), ("threshold", float("nan")), ("drop_path_rate", 1),
    ("validation_fraction", -0.1), ("learning_rate", 0), ("learning_rate", "1e-4x"), ("batch_size", 0),
    ("batch_size", True), ("batch_size", 1.5), ("max_epochs", None), ("save_steps", 0),
    ("negative_share", 0), ("negative_share", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), GOOD_NUMBERS)
def test_check_numbers(name: str, value: Any) -> None:
    check_numbers(**{name: value})


@pytest.mark.parametrize(("name", "value"), BAD_NUMBERS)
def test_check_numbers_refuses(name: str, value: Any) -> None:
    with pytest.raises(InputError) as error:
        check_numbers(val_interval=1, **{name: value})
    assert str(error.value).startswith(f"{name}={value!r} must be ")


def test_a_validation_that_never_comes() -> None:
    with pytest.raises(InputError, match="val_interval=5 is more than max_epochs=4"):
        check_numbers(val_interval=5, max_epochs=4)


@pytest.mark.parametrize("path", [None, "out", Path("out")])
def test_check_paths(path: Any) -> None:
    check_paths(output_dir=path)


@pytest.mark.parametrize("path", [20240101, 1.5, True])
def test_check_paths_refuses(path: Any) -> None:
    with pytest.raises(InputError, match=f"^output_dir={path!r} reads as a number, not as a path: write ./ before"):
        check_paths(checkpoint="model.pt", output_dir=path)


@pytest.mark.parametrize("value", [np.int64(3), np.float32(3)])
def test_numbers_may_be_numpys(value: Any) -> None:
    check_numbers(learning_rate=value)
    if isinstance(value, np.integer):
        check_numbers(batch_size=value)


def test_the_rules_say_what_they_take() -> None:
    assert all(words.startswith("a ") and not is_right("text") for words, is_right in NUMBERS.values())


def test_check_choice() -> None:
    check_choice(("a", "b", None), amp_dtype="a", adjacent=None)
    with pytest.raises(InputError, match=r"^amp_dtype='c' must be 'a', 'b' or null$"):
        check_choice(("a", "b", None), amp_dtype="c")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_check_device(device: Any) -> None:
    check_device(device)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", None, 1.5])
def test_check_device_refuses(device: Any) -> None:
    with pytest.raises(InputError, match=f"device='{device}' cannot be used"):
        check_device(device)
