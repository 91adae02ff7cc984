from __future__ import annotations

from copy import deepcopy
from functools import cache

import numpy as np
import pytest

from lsinet_monai.data.phantom.colon import Colon
from lsinet_monai.data.phantom.examination import Examination


@cache
def _drawn(seed):
    rng = np.random.default_rng(seed)
    return Colon(rng), rng


@pytest.fixture(params=range(3))
def examination(request):
    """An examination of a colon that is drawn once for all tests."""
    colon, rng = _drawn(request.param)
    return Examination(deepcopy(rng), colon)


def test_the_camera_stays_in_the_lumen_and_moves_smoothly(examination):
    views = [examination.advance(True) for _ in range(150)]
    positions = np.stack([view.position for view in views])
    assert (examination.colon.distance(*positions.T.astype("f4")) > 0.05).all()
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).max() < 0.15
    assert max(np.abs(view.turn).max() for view in views) < 0.3
    for view in views:
        np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(3), atol=1e-6)


def test_it_reaches_polyp_after_polyp_and_keeps_those_near(examination):
    seen = []
    for _ in range(400):
        view = examination.advance(True)
        seen += [polyp for polyp in view.polyps if polyp not in seen]
        assert len(view.polyps) <= 2
    depths = [polyp.centre[2] for polyp in seen]
    assert len(seen) >= 3 and depths == sorted(depths)
    assert abs(view.position[2] - depths[-1]) < 8 and all(abs(place[2] - depths[-1]) < 12 for place, _ in view.bubbles)


def test_a_polyp_that_stays_hidden_is_left_in_the_end(examination):
    first = examination.advance(False).polyps[-1]
    for _ in range(200):
        view = examination.advance(False)
    assert first not in view.polyps[-1:]
