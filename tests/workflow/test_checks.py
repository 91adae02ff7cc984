from __future__ import annotations

from typing import Any

import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.workflow.checks import check_device, check_exported


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_check_device(device: Any) -> None:
    check_device(device)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", None, 1.5])
def test_check_device_refuses(device: Any) -> None:
    with pytest.raises(InputError, match=f"device='{device}' cannot be used"):
        check_device(device)


def test_check_exported() -> None:
    check_exported(adjacent="previous", forgetting="usage", amp_dtype=None)
    with pytest.raises(InputError, match=r"^adjacent='next': an export has 'previous' alone, so leave adjacent out"):
        check_exported(forgetting="usage", adjacent="next")
