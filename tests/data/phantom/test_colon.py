from __future__ import annotations

from copy import deepcopy
from functools import cache

import numpy as np
import pytest

from lsinet_monai.data.phantom.colon import Colon, Polyp, blend, rotate

PATIENTS = range(4)


def points(seed=0, count=500):
    """Random points in and around the lumen, x, y and z."""
    return np.random.default_rng(seed).uniform([[-1.5], [-1.5], [0]], [[1.5], [1.5], [20]], (3, count)).astype("f4")


@cache
def _drawn(seed):
    rng = np.random.default_rng(seed)
    return Colon(rng), rng


def draw(seed):
    """A colon, drawn once for all tests, and its generator as it is after that."""
    colon, rng = _drawn(seed)
    return colon, deepcopy(rng)


@pytest.fixture(params=PATIENTS)
def colon(request):
    return draw(request.param)[0]


def test_the_centre_line_is_inside_and_the_wall_at_its_radius(colon):
    for z, angle in [(0.0, 0.0), (3.7, 2.0), (250.0, 4.0)]:
        middle, across = colon.middle(z), colon.wall(z, angle)
        assert colon.distance(*middle.astype("f4")[:, None])[0] > 0.4
        wall = (middle + across).astype("f4")[:, None]
        assert abs(colon.surfaces(*wall)[0][0]) < 1e-3
        assert colon.surfaces(*(middle + 1.2 * across).astype("f4")[:, None])[0][0] < 0


def test_folds_crest_at_whole_numbers(colon):
    z = np.linspace(0, 30, 3000, dtype="f4")
    cos, sin = np.full_like(z, np.cos(1.0)), np.full_like(z, np.sin(1.0))
    radius, phase = colon.radius(z, cos, sin), colon.fold_phase(z, cos, sin)
    between = np.abs(phase - np.rint(phase)) > 0.45
    assert radius[between].std() < 1e-3 < radius.std()  # the wall between folds is even
    assert radius.min() < radius[between].min() and abs(phase[radius.argmin()] - round(phase[radius.argmin()])) < 0.02


def test_the_distance_is_that_of_the_nearer_of_wall_and_water(colon):
    wall, water = colon.surfaces(*points())
    np.testing.assert_array_equal(colon.distance(*points()), np.minimum(wall, water))


def test_texture_is_continuous_all_around_the_colon(colon):
    z = np.full(2, 3.0, "f4")
    x, y = (float(value[0]) for value in colon.centre(z[:1]))
    before, after = np.array([np.pi - 1e-4, -np.pi + 1e-4])
    around = np.array([before, after])
    channels = colon.look_up(x + np.cos(around).astype("f4"), y + np.sin(around).astype("f4"), z)
    assert len(channels) == 5
    for channel in channels:
        assert abs(channel[0] - channel[1]) < 0.05


def test_the_same_generator_draws_the_same_colon():
    one, other = (Colon(np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one.texture, other.texture)
    assert not np.array_equal(one.texture, Colon(np.random.default_rng(2)).texture)


@pytest.mark.parametrize("seed", range(12))
def test_a_polyp_sits_on_the_wall_above_the_water(seed):
    colon, rng = draw(seed)
    polyp = Polyp(rng, colon, 5.0)
    assert abs(polyp.centre[2] - 5.0) < 1.5
    centre = polyp.centre.astype("f4")[:, None]
    wall, water = (float(distance[0]) for distance in colon.surfaces(*centre))
    assert -0.05 < wall < 0.6 and water > 0
    inward = np.linspace(0, polyp.bound, 50)
    reached = polyp.distance(*(polyp.centre + inward[:, None] * polyp.axes[2]).T.astype("f4"))
    assert reached.min() < 0 < reached[-1]
    np.testing.assert_allclose(polyp.axes @ polyp.axes.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_of_a_polyp_is_outside_its_bound(seed):
    colon, rng = draw(seed)
    polyp = Polyp(rng, colon, 5.0)
    directions = rng.normal(size=(3, 500))
    x, y, z = (polyp.centre[:, None] + polyp.bound * directions / np.linalg.norm(directions, axis=0)).astype("f4")
    assert (polyp.distance(x, y, z) > 0).all()


def test_rotate_is_a_matrix_product():
    matrix = np.random.default_rng(0).normal(size=(2, 3))
    np.testing.assert_allclose(rotate(matrix, *points()), matrix.astype("f4") @ points(), rtol=1e-4, atol=1e-5)


def test_blend_is_the_minimum_away_from_the_seam():
    a, b = np.array([0.0, 1.0, 0.5], "f4"), np.array([1.0, 0.0, 0.5], "f4")
    np.testing.assert_allclose(blend(a, b, 0.1), [0, 0, 0.475], atol=1e-6)
