from __future__ import annotations

from copy import deepcopy
from functools import cache

import numpy as np
import pytest

from lsinet_monai.data.phantom import phantom_clip
from lsinet_monai.data.phantom.camera import SIGHT, Camera, Lens, Scene, View
from lsinet_monai.data.phantom.colon import Colon, rotate
from lsinet_monai.data.phantom.examination import Examination

SIZES = [(32, 32), (48, 80), (65, 50)]


@cache
def _drawn(patient):
    rng = np.random.default_rng([0, patient])
    return Colon(rng), rng


def make_lens(patient, size):
    """A patient's colon and lens, drawn as a clip draws them, and the generator. Each colon is drawn once."""
    colon, rng = _drawn(patient)
    rng = deepcopy(rng)
    return colon, Lens(rng, size), rng


@pytest.mark.parametrize("size", SIZES)
def test_a_lens_projects_its_rays_onto_their_pixels(size):
    lens = make_lens(0, size)[1]
    np.testing.assert_allclose(np.linalg.norm(lens.rays, axis=0), 1, atol=1e-5)
    for row, column in [(0, 0), (size[0] // 2, 3), (size[0] - 1, size[1] - 1)]:
        np.testing.assert_allclose(lens.project(lens.rays[:, row, column]), (column, row), atol=0.01)


@pytest.mark.parametrize("patient", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_the_border_is_dark_and_shows_no_polyp(patient):
    size = (64, 64)
    lens = make_lens(patient, size)[1]
    frames, masks = zip(*phantom_clip(20, size, 0, patient), strict=True)
    border = lens.view == 0
    assert 0.02 < border.mean() < 0.4 and not border[32, 32]
    assert not np.stack(masks)[:, border].any()
    assert np.stack(frames)[:, border].mean() < 30


@pytest.mark.parametrize("patient", range(3))
def test_the_mask_is_where_a_polyp_stands_before_the_wall(patient):
    colon, lens, rng = make_lens(patient, (64, 64))
    examination = Examination(np.random.default_rng(patient), colon)
    for _ in range(20):
        view = examination.advance(True)
    rays = np.stack(rotate(view.axes.T, *lens.rays.reshape(3, -1)))
    start = np.full(64 * 64, 0.02, "f4")
    scene = Scene(colon, view, rays)
    reach = scene.trace(start, 150)
    view.polyps = []
    bare = Scene(colon, view, rays).trace(start, 150)
    mask = Camera(rng, colon, lens).shade(scene, reach)[1]
    before = bare - reach
    assert mask.any()
    assert (before[mask] > 0).mean() > 0.98
    # The rounded seam lifts the wall a little around a polyp; nothing else is in front of it.
    assert (before[~mask & (reach < SIGHT)] > 0.05).mean() < 0.03


def test_large_frames_are_rendered_in_bands(monkeypatch):
    colon, lens, _ = make_lens(0, (48, 64))
    view = Examination(np.random.default_rng(0), colon).advance(False)
    whole = Camera(np.random.default_rng(1), colon, lens).take(view)
    monkeypatch.setattr(Camera, "BAND", 500)
    bands = Camera(np.random.default_rng(1), colon, lens).take(view)
    for one, other in zip(whole, bands, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bubble_is_drawn_where_it_is():
    colon, lens, _ = make_lens(0, (96, 96))
    bare = View(colon.middle(0.0), np.eye(3), np.zeros(2), [], [])
    place = bare.position + 0.4 * np.array([0.1, 0.2, 1.0])
    bubble = View(bare.position, bare.axes, bare.turn, [], [(place, 0.03)])
    frames = [Camera(np.random.default_rng(1), colon, lens).take(view)[0].astype(int) for view in (bare, bubble)]
    change = np.abs(frames[0] - frames[1]).sum(axis=2) * (lens.view > 0)
    column, row = lens.project(place - bare.position)
    at = np.unravel_index(change.argmax(), change.shape)
    assert np.hypot(at[0] - row, at[1] - column) < 8
