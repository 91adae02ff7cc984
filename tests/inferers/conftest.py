"""The inferers' tests take a backbone that is twice as fast: what they check is what happens between frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsinet_monai.networks import LSINet


@pytest.fixture(scope="session")
def small_network(make_small_network: Callable[[str], LSINet]) -> LSINet:
    """A small network with random weights, see ``make_small_network``."""
    return make_small_network("mobilenetv3_small_050")
