"""A synthetic colonoscopy, with exact masks: clips to start with, to test with and to demonstrate on.

A camera travels through a bent tube with haustral folds, lit by the lamp at its tip. Polyps (sessile, pedunculated and
flat) sit on the wall; the camera stops at one, looks away, comes back, and travels on to the next. The scene is a
distance field, traced ray by ray, so the mask is exactly what the picture shows of a polyp. The last step adds what
makes real video hard: highlights, motion blur, bubbles, debris, exposure swings, noise, and JPEG artefacts.

Lengths are in radii of the colon (about 2.5 cm), time is in frames at 30 frames/s. Nothing here is patient data.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import atomic_write

__all__ = ["phantom_clip", "write_phantom"]

SMALLEST_SIDE = 32  # pixels; below it polyps are a handful of pixels
HALF_ANGLE = 0.96  # radians seen at half the geometric mean of the frame's sides: a wide-angle (fisheye) lens
SIGHT = 3.6  # as far as the lamp lets a person see a polyp: farther ones are not in the mask
FAR = 5.0  # where tracing ends, in the dark
CAREFUL = 0.6  # share of the field that a ray may step: the field overestimates distances next to steep folds
NOTE = "PHANTOM.txt"
TRAIN, HELD_OUT = "TrainDataset", "TestEasyDataset/Unseen"


# The colon ----------------------------------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, side: int, frequency: float, width: float = 0.5) -> np.ndarray:
    """Tileable noise (side, side) with about ``frequency`` waves per side, zero mean, unit standard deviation."""
    waves = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    band = np.exp(-((np.log(np.maximum(waves, 1e-3) / frequency) / width) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * band, s=(side, side))
    return (noise - noise.mean()) / noise.std()


class _Colon:
    """A patient's colon: its course, folds, colours and texture, all periodic or closed-form along the way."""

    TEXTURE_SIDE = 512  # texels around the colon, and along each 2 pi radii of it

    def __init__(self, rng: np.random.Generator) -> None:
        self.bend = rng.uniform(0.5, 1.0, 2)
        self.bend_rate = rng.uniform(0.4, 0.65, 2) * (1, 1.3)
        self.bend_phase = rng.uniform(0, 2 * np.pi, 2)
        self.fold_rate = rng.uniform(1.1, 1.6)
        self.fold_width = rng.uniform(0.24, 0.36)
        self.fold_warp = rng.uniform(0.05, 0.16)
        self.triangle = rng.uniform(0.03, 0.09)
        # A haustral fold is a crescent: highest at one angle, and nearly gone opposite to it.
        angle = rng.uniform(0, 2 * np.pi, 64)
        height = rng.uniform(0.08, 0.42, 64)
        self.folds = np.stack([height * 0.55, height * 0.45 * np.cos(angle), height * 0.45 * np.sin(angle)]).astype(
            "f4"
        )

        hue = rng.uniform()
        self.albedo = (1 - hue) * np.array([0.80, 0.31, 0.24]) + hue * np.array([0.80, 0.47, 0.27])
        self.albedo = self.albedo * rng.uniform(0.9, 1.1, 3)
        self.vessel_strength = rng.uniform(0.15, 0.6)
        self.redness = rng.uniform(0.1, 0.3)
        self.debris = np.array([0.62, 0.50, 0.12]) * rng.uniform(0.7, 1.1, 3)
        self.water = rng.uniform(0.9, 1.15)  # mean level below the centre line: pools come and go along the way
        self.texture = self._make_texture(rng)

    def _make_texture(self, rng: np.random.Generator) -> np.ndarray:
        """(5, side * side): mottle, vessels, grain, red patches, debris."""
        side = self.TEXTURE_SIDE
        mottle = 0.6 * _noise(rng, side, 6) + 0.5 * _noise(rng, side, 24) + 0.4 * _noise(rng, side, 70)
        vessels = np.zeros((side, side))
        for frequency, thickness in ((7, 0.05), (16, 0.09), (30, 0.14)):
            # A vessel runs where smooth noise crosses zero, and fades in and out along its way.
            crossing = np.exp(-((_noise(rng, side, frequency, 0.6) / thickness) ** 2))
            vessels = np.maximum(vessels, crossing * np.clip(0.5 + _noise(rng, side, frequency / 2), 0, 1))
        grain = _noise(rng, side, 110, 0.4)
        patches = np.clip(_noise(rng, side, 5) - 0.9, 0, 1)
        debris = np.clip(3 * (_noise(rng, side, 14) + 0.5 * _noise(rng, side, 45) - rng.uniform(2.2, 3.4)), 0, 1)
        return np.stack([mottle, vessels, grain, patches, debris]).reshape(5, -1).astype("f4")

    def centre(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The centre line's x and y at depth z."""
        x, y = (
            np.float32(b) * np.sin(np.float32(r) * z + np.float32(p))
            for b, r, p in zip(self.bend, self.bend_rate, self.bend_phase, strict=True)
        )
        return x, y

    def middle(self, z: float) -> np.ndarray:
        """The point (3,) of the centre line at depth z."""
        return np.concatenate([*self.centre(np.array([z], "f4")), [z]])

    def wall(self, z: float, angle: float) -> np.ndarray:
        """From the centre line's point at depth z across to the wall: (3,)."""
        cos, sin = np.array([np.cos(angle)], "f4"), np.array([np.sin(angle)], "f4")
        return np.concatenate([cos, sin, [0]]) * self.radius(np.array([z], "f4"), cos, sin)

    def fold_phase(self, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Folds crest where this is a whole number: their number, counted along the way."""
        return np.float32(self.fold_rate) * z + np.float32(self.fold_warp) * (cos * cos - sin * sin + sin)

    def radius(self, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Distance from the centre line to the wall at depth z, in the direction (cos, sin) across the lumen."""
        cos2, sin2 = cos * cos - sin * sin, 2 * cos * sin
        q = self.fold_phase(z, cos, sin)
        fold = np.rint(q)
        even, along, across = self.folds[:, fold.astype(np.int32) & 63]
        crest = np.maximum(1 - ((q - fold) * np.float32(1 / self.fold_width)) ** 2, 0)
        height = (even + along * cos + across * sin) * crest * crest
        return 1 + np.float32(self.triangle) * (cos * cos2 - sin * sin2) - height

    def surfaces(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """About how far a point in the lumen is from the wall and from the water below; negative behind them."""
        cx, cy = self.centre(z)
        dx, dy = x - cx, y - cy
        r = np.sqrt(dx * dx + dy * dy) + np.float32(1e-6)
        level = np.float32(self.water) + np.float32(0.2) * np.sin(np.float32(0.7) * z)
        return self.radius(z, dx / r, dy / r) - r, level - dy

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """About how far a point in the lumen is from what bounds it."""
        return np.minimum(*self.surfaces(x, y, z))

    def look_up(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
        """The texture's channels, each (N,), at points of the wall, bilinear."""
        cx, cy = self.centre(z)
        side = self.TEXTURE_SIDE
        scale = np.float32(side / (2 * np.pi))
        dx, dy = x - cx, y - cy
        # Height above the wall counts as length too, or texture would be drawn out to streaks on polyps and folds.
        u, v = np.arctan2(dy, dx) * scale, (z - np.sqrt(dx * dx + dy * dy)) * scale
        u0, v0 = np.floor(u), np.floor(v)
        fu, fv = u - u0, v - v0
        column, row = u0.astype(np.int32), v0.astype(np.int32)
        left, right = column % side, (column + 1) % side
        top, bottom = row % side * side, (row + 1) % side * side
        corners = (top + left, top + right, bottom + left, bottom + right)
        channels = []
        for plane in self.texture:
            a, b, c, d = (plane.take(corner) for corner in corners)
            upper, lower = a + (b - a) * fu, c + (d - c) * fu
            channels.append(upper + (lower - upper) * fv)
        return channels


def _turn(matrix: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Points in the axes that are the rows of a matrix (M, 3).

    Written out, because a matrix product this thin makes BLAS start threads that cost more than they bring, and whose
    number changes the last bits.
    """
    return [a * x + b * y + c * z for a, b, c in matrix.astype("f4")]


class _Polyp:
    """An ellipsoid on the wall, lobed, on a stalk if pedunculated."""

    def __init__(self, rng: np.random.Generator, colon: _Colon, z: float) -> None:
        angle = np.pi / 2 + rng.uniform(0.9, 2 * np.pi - 0.9)  # not at the bottom, where it would be under water
        cos, sin = np.cos(angle), np.sin(angle)
        # On the camera's side of a fold, or the fold before might hide it for good.
        phase = colon.fold_phase(np.array([z]), np.array([cos]), np.array([sin])).item()
        z += (round(phase) + rng.uniform(-0.4, 0.05) - phase) / colon.fold_rate
        kind = rng.choice(["sessile", "pedunculated", "flat"], p=[0.5, 0.25, 0.25])
        size = rng.uniform(0.25, 0.46)
        self.stalk = 0.0  # its length; its radius is a third of the head's
        if kind == "sessile":
            radii, lift = np.array([size, size * rng.uniform(0.75, 1.3), size * rng.uniform(0.7, 1.0)]), 0.3 * size
        elif kind == "pedunculated":
            radii = np.clip(size, 0.22, 0.34) * rng.uniform(0.85, 1.2, 3)
            self.stalk = lift = rng.uniform(0.35, 0.5)
        else:
            radii, lift = np.array([size * 1.25, size * rng.uniform(0.8, 1.4), rng.uniform(0.12, 0.18)]), 0.0
        self.radii = radii.astype("f4")
        self.bound = float(radii.max() + self.stalk + 0.1)

        inward = np.array([-cos, -sin, rng.uniform(-0.2, 0.2)])
        inward /= np.linalg.norm(inward)
        spin = rng.uniform(0, np.pi)
        tangent = np.array([-sin * np.cos(spin), cos * np.cos(spin), np.sin(spin)])
        tangent -= inward * (tangent @ inward)
        tangent /= np.linalg.norm(tangent)
        self.axes = np.stack([tangent, np.cross(inward, tangent), inward])
        self.centre = colon.middle(z) + colon.wall(z, angle) + lift * inward

        self.lobes = rng.uniform(0.0, 0.07) * size / 0.3
        self.lobe_rate = rng.uniform(6, 14)
        self.lobe_phase = rng.uniform(0, 2 * np.pi, 3)
        shades = np.array([[1.12, 0.62, 0.60], [1.18, 1.22, 1.22], [1.05, 0.85, 0.83]])  # redder, paler, nearly mucosa
        self.tint = shades[rng.choice(3, p=[0.65, 0.2, 0.15])] * rng.uniform(0.94, 1.06, 3)
        self.pits = rng.uniform(0.08, 0.2)

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """About how far points outside the polyp are from its surface; negative inside."""
        cx, cy, cz = self.centre.astype("f4")
        a, b, c = _turn(self.axes, x - cx, y - cy, z - cz)
        ra, rb, rc = self.radii
        k0 = np.sqrt((a / ra) ** 2 + (b / rb) ** 2 + (c / rc) ** 2)
        k1 = np.sqrt((a / ra**2) ** 2 + (b / rb**2) ** 2 + (c / rc**2) ** 2) + np.float32(1e-6)
        distance = k0 * (k0 - 1) / k1
        rate, (pa, pb, pc) = np.float32(self.lobe_rate), self.lobe_phase.astype("f4")
        distance += np.float32(self.lobes) * np.sin(rate * a + pa) * np.sin(rate * b + pb) * np.sin(rate * c + pc)
        if self.stalk:
            below = c - np.clip(c, np.float32(-self.stalk - 0.1), np.float32(0))
            stalk = np.sqrt(a * a + b * b + below * below) - self.radii.min() / 3
            distance = _blend(distance, stalk)
        return distance


def _blend(a: np.ndarray, b: np.ndarray, width: float = 0.1) -> np.ndarray:
    """The union of two distance fields with a rounded seam."""
    overlap = np.maximum(np.float32(width) - np.abs(a - b), 0)
    return np.minimum(a, b) - overlap * overlap * np.float32(0.25 / width)


# The camera ---------------------------------------------------------------------------------------------------------


class _Lens:
    """Directions of the pixels, and the field of view: an octagon or a circle with its sides cut, in a dark border."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        height, width = self.size = size
        self.pixel_angle = HALF_ANGLE / (np.sqrt(height * width) / 2)
        v, u = np.mgrid[:height, :width].astype("f4")
        v -= (height - 1) / 2
        u -= (width - 1) / 2
        angle = np.hypot(u, v) * np.float32(self.pixel_angle) + np.float32(1e-6)
        spread = np.sin(angle) / np.hypot(u, v).clip(1e-3)
        self.rays = np.stack([u * spread, v * spread, np.cos(angle)]).astype("f4")

        half_width, half_height = width / 2 * rng.uniform(0.9, 0.99), height / 2 * rng.uniform(0.92, 1.0)
        u, v = np.abs(u - width * rng.uniform(-0.02, 0.02)), np.abs(v)
        if rng.uniform() < 0.7:
            cut = rng.uniform(1.45, 1.65)
            corner = (cut - u / half_width - v / half_height) / np.hypot(1 / half_width, 1 / half_height)
        else:
            corner = max(half_width, half_height) * rng.uniform(1.02, 1.12) - np.hypot(u, v)
        inset = np.minimum(np.minimum(half_width - u, half_height - v), corner)
        self.view = np.clip(inset, 0, 1).astype("f4")  # 1 inside, 0 in the border, with a soft edge
        self.inside = np.flatnonzero(self.view)

    def project(self, direction: np.ndarray) -> tuple[float, float]:
        """Column and row where a direction in the camera's axes meets the sensor."""
        across = float(np.hypot(direction[0], direction[1])) + 1e-9
        scale = np.arctan2(across, direction[2]) / (across * self.pixel_angle)
        height, width = self.size
        return direction[0] * scale + (width - 1) / 2, direction[1] * scale + (height - 1) / 2


@dataclass
class _View:
    """Where the camera is at a frame, and what is near it."""

    position: np.ndarray  # (3,)
    axes: np.ndarray  # (3, 3): its right, down and forward as rows
    turn: np.ndarray  # (2,) radians that the picture moves from this frame to the next, to the right and down
    polyps: list[_Polyp]
    bubbles: list[tuple[np.ndarray, float]]  # position (3,) and radius


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


class _Examination:
    """Moves the camera as an endoscopist does: watch a polyp, glance elsewhere, come back, travel on to the next.

    The hand follows its target as a damped spring does, with a tremor. Only polyps and bubbles near the camera are
    held, so an examination can go on for ever.
    """

    def __init__(self, rng: np.random.Generator, colon: _Colon) -> None:
        self.rng, self.colon = rng, colon
        self.polyps: list[_Polyp] = []
        self.bubbles: list[tuple[np.ndarray, float]] = []
        self.frames = self.shown = 0
        self.roll = rng.uniform(0, 2 * np.pi)
        self.offset, self.tremor = np.zeros(3), np.zeros(3)
        self._add_polyp(rng.uniform(0, 100))
        self.plan = ["watch"] + (["glance", "watch"] if rng.uniform() < 0.7 else [])
        self._begin_task()
        self.depth, self.depth_speed = self._wanted_depth() - rng.uniform(-0.2, 0.6), 0.0
        self.gaze, self.gaze_speed = self._wanted_gaze(self.attention if rng.uniform() < 0.5 else -0.3), np.zeros(3)

    def _add_polyp(self, z: float) -> None:
        rng = self.rng
        self.polyps = [*self.polyps[-1:], _Polyp(rng, self.colon, z)]
        self.bubbles = [bubble for bubble in self.bubbles if bubble[0][2] > z - 6]
        if rng.uniform() < 0.5:
            angle = rng.uniform(0, 2 * np.pi)
            middle = z - rng.uniform(-0.4, 0.8)
            for _ in range(rng.integers(5, 25)):
                depth, around = middle + rng.normal(0, 0.2), angle + rng.normal(0, 0.25)
                place = self.colon.middle(depth) + 0.97 * self.colon.wall(depth, around)
                self.bubbles.append((place, rng.uniform(0.012, 0.06)))

    def _begin_task(self) -> None:
        rng = self.rng
        if not self.plan:
            self.plan = ["travel", "watch"] + (["glance", "watch"] if rng.uniform() < 0.8 else [])
        self.task = self.plan.pop(0)
        self.left = float(rng.integers(*{"watch": (7, 16), "glance": (18, 25), "travel": (24, 32)}[self.task]))
        if self.task == "travel":
            self._add_polyp(float(self.polyps[-1].centre[2]) + rng.uniform(3.4, 4.4))
        # How far ahead the polyp is to be, how much of the way from the lumen to it the gaze turns, and by how much the
        # gaze misses it to one side: together they put polyps anywhere in the frame.
        self.ahead = rng.uniform(0.5, 1.4)
        self.attention = rng.uniform(*{"watch": (0.25, 1.0), "glance": (-1.5, -1.0), "travel": (0.0, 0.5)}[self.task])
        self.miss = rng.uniform(-0.35, 0.35)
        self.drift = rng.uniform(-1, 1, 3) * (0.02, 0.01, 0.01)
        angle = rng.uniform(0, 2 * np.pi)
        self.wanted_offset = rng.uniform(0, 0.35) * np.array([np.cos(angle), np.sin(angle), 0])

    def _wanted_depth(self) -> float:
        return float(self.polyps[-1].centre[2] - self.ahead)

    def _position(self) -> np.ndarray:
        return self.colon.middle(self.depth) + self.offset

    def _wanted_gaze(self, attention: float) -> np.ndarray:
        position = self._position()
        lumen = _unit(self.colon.middle(self.depth + 1.5) - position)
        polyp = _unit(self.polyps[-1].centre - position)
        aside = _unit(polyp - lumen * (polyp @ lumen) + 1e-9)
        away = float(np.arccos(np.clip(polyp @ lumen, -1, 1)))
        angle = max(attention * away, away - 0.65) if attention > 0 else attention  # watched, or turned away from
        direction = lumen * np.cos(angle) + aside * np.sin(angle)
        return _unit(direction + self.miss * np.cross(lumen, aside))

    def advance(self, shown: bool) -> _View:
        """The next frame's view, told whether the frame before showed a polyp (the first time: False)."""
        rng = self.rng
        self.shown += shown
        # A glance is cut short where too little has been seen of polyps so far.
        if self.left <= 0 or (self.task == "glance" and self.frames > 6 and self.shown < 0.5 * self.frames):
            self._begin_task()
        # A watch is as long as the polyp is in sight, within reason.
        self.left -= 1 if shown or self.task != "watch" else 0.4
        self.frames += 1
        if shown:
            self.ahead, self.attention, self.miss = np.array([self.ahead, self.attention, self.miss]) + self.drift

        depth_pull = 0.04 * (self._wanted_depth() - self.depth) - 0.4 * self.depth_speed
        self.depth_speed = float(np.clip(self.depth_speed + depth_pull, -0.05, 0.075))
        self.depth += self.depth_speed
        self.tremor = 0.9 * self.tremor + rng.normal(0, 0.0018, 3)
        self.offset = self.offset + 0.06 * (self.wanted_offset - self.offset) + self.tremor
        before = self.gaze
        self.gaze_speed = 0.67 * self.gaze_speed + 0.026 * (self._wanted_gaze(self.attention) - self.gaze)
        self.gaze = _unit(self.gaze + self.gaze_speed + rng.normal(0, 0.0015, 3))
        self.roll += 0.006 * np.sin(0.05 * self.frames + self.roll)

        side = _unit(np.cross([0, 1, 0], self.gaze))
        up = np.cross(self.gaze, side)
        right = np.cos(self.roll) * side + np.sin(self.roll) * up
        axes = np.stack([right, np.cross(self.gaze, right), self.gaze])
        return _View(self._position(), axes, axes[:2] @ (before - self.gaze), self.polyps, self.bubbles)


# The picture --------------------------------------------------------------------------------------------------------


class _Scene:
    """The colon's wall and the polyps near, along a set of rays (3, N) from one position."""

    def __init__(self, colon: _Colon, view: _View, rays: np.ndarray) -> None:
        self.colon, self.view, self.rays = colon, view, rays
        self.origin = view.position.astype("f4")
        self.near: list[tuple[_Polyp, np.ndarray]] = []
        for polyp in view.polyps:
            offset = polyp.centre - view.position
            away = float(np.linalg.norm(offset))
            if away < FAR:
                # Only rays that pass by a polyp are asked for it: most of a frame's rays pass by none.
                cosine = np.sqrt(max(1 - (polyp.bound / away) ** 2, 0)) if away > polyp.bound else -1
                index = np.flatnonzero(_turn(offset[None] / away, *rays)[0] > cosine)
                if len(index):
                    self.near.append((polyp, index))

    def points(self, t: np.ndarray) -> np.ndarray:
        return self.origin[:, None] + self.rays * t

    def distance(self, points: np.ndarray) -> np.ndarray:
        """About how far points (3, N), one on each ray, are from the nearest surface."""
        x, y, z = points
        distance = self.colon.distance(x, y, z)
        for polyp, index in self.near:
            distance[index] = _blend(distance[index], polyp.distance(x[index], y[index], z[index]))
        return distance

    def trace(self, t: np.ndarray, steps: int) -> np.ndarray:
        """Walk along the rays from the distances t (N,) until close to a surface."""
        for _ in range(steps):
            t = np.clip(t + np.float32(CAREFUL) * self.distance(self.points(t)), 0, FAR)
        return t

    def settle(self, t: np.ndarray) -> np.ndarray:
        """Trace with most effort where it is needed: along the few rays that graze something."""
        t = self.trace(t, 4)
        open_rays = np.flatnonzero((np.abs(self.distance(self.points(t))) > 0.004 * (1 + t)) & (t < FAR))
        if len(open_rays):
            t[open_rays] = _Scene(self.colon, self.view, self.rays[:, open_rays]).trace(t[open_rays], 20)
        return t


def _nearest_of_neighbours(t: np.ndarray, size: tuple[int, int], factor: int) -> np.ndarray:
    """Enlarge coarse ray lengths to ``size``, taking the least of 3 x 3 neighbours: a safe start for every fine ray."""
    padded = np.pad(t, 1, mode="edge")
    rows = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
    least = np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return least.repeat(factor, 0).repeat(factor, 1)[: size[0], : size[1]]


class _Camera:
    """Takes the frames of a clip: traces, shades and spoils them."""

    COARSE = 4  # every 4th pixel of every 4th row is traced from the camera on; the others start near the wall
    BAND = 65536  # pixels traced and shaded at once, which bounds the memory of large frames

    def __init__(self, rng: np.random.Generator, colon: _Colon, lens: _Lens) -> None:
        self.rng, self.colon, self.lens = rng, colon, lens
        self.exposure: float | None = None
        self.swing = 0.0
        self.brightness = rng.uniform(0.8, 1.25)
        self.dullness = rng.uniform(0.965, 0.99)  # the cosine above which the film mirrors the lamp
        self.noise = rng.uniform(1.0, 4.5)
        self.quality = int(rng.integers(55, 92))

    def take(self, view: _View) -> tuple[np.ndarray, np.ndarray]:
        """Frame (H, W, 3) and mask (H, W), uint8."""
        height, width = self.lens.size
        turned = np.stack(_turn(view.axes.T, *self.lens.rays.reshape(3, -1)))
        step = self.COARSE
        row = np.minimum(np.arange(step // 2, height + step // 2, step), height - 1)
        column = np.minimum(np.arange(step // 2, width + step // 2, step), width - 1)
        chosen = (row[:, None] * width + column).ravel()
        coarse = _Scene(self.colon, view, turned[:, chosen])
        start = coarse.trace(np.full(len(chosen), 0.02, "f4"), 36).reshape(len(row), len(column))
        start = _nearest_of_neighbours(start, self.lens.size, step).ravel() * np.float32(0.97)

        light = np.zeros((height * width, 3), "f4")
        depth = np.full(height * width, FAR, "f4")
        mask = np.zeros(height * width, bool)
        for band in np.array_split(self.lens.inside, -(-len(self.lens.inside) // self.BAND)):
            scene = _Scene(self.colon, view, turned[:, band])
            depth[band] = scene.settle(start[band])
            light[band], mask[band] = self._shade(scene, depth[band])
        picture = light.reshape(height, width, 3)
        self._add_bubbles(picture, view, depth.reshape(height, width))
        picture = _smear(picture, 0.5 * view.turn / self.lens.pixel_angle)
        return self._expose(picture), mask.reshape(height, width).astype(np.uint8) * np.uint8(255)

    def _shade(self, scene: _Scene, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Light (N, 3) that comes back along the rays, and where it comes from a polyp (N,)."""
        colon = self.colon
        points = scene.points(t)
        x, y, z = points
        wall, water = colon.surfaces(x, y, z)
        surface = scene.distance(points)
        normal = np.empty_like(points)
        for axis in range(3):
            moved = points.copy()
            moved[axis] += np.float32(0.012)
            normal[axis] = scene.distance(moved) - surface
        normal /= np.sqrt((normal * normal).sum(0)) + np.float32(1e-9)
        facing = np.clip(-(normal * scene.rays).sum(0), 0, 1)
        # Crevices are dark: there the nearest surface is closer to a point above the wall than the wall below it.
        above = scene.distance(points + np.float32(0.15) * normal)
        crevice = np.clip(np.float32(0.4) + above * np.float32(0.6 / 0.12), 0.3, 1)

        mottle, vessels, grain, patches, debris = colon.look_up(x, y, z)
        sharp = np.clip(np.float32(1.6) - np.float32(0.4) * t, 0, 1)  # far texture is finer than the pixels
        polyp_share = np.zeros_like(t)
        tint = np.ones((3, len(t)), "f4")
        pits = np.zeros_like(t)
        for polyp, index in scene.near:
            xi, yi, zi = x[index], y[index], z[index]
            inside = np.minimum(wall[index], water[index]) - polyp.distance(xi, yi, zi)
            share = np.clip(inside * np.float32(20) + np.float32(0.5), 0, 1)
            polyp_share[index] = np.maximum(polyp_share[index], share)
            tint[:, index] += share * (polyp.tint.astype("f4")[:, None] - 1)
            pits[index] += share * np.float32(polyp.pits)
        mask = (polyp_share > 0.5) & (t < SIGHT)

        vessels = vessels * sharp * (1 - np.float32(0.8) * polyp_share) * np.float32(colon.vessel_strength)
        debris = np.maximum(debris, np.clip((wall - water) * 12, 0, 0.45) * (1 - polyp_share))
        red = patches * np.float32(colon.redness) * (1 - polyp_share)
        value = np.maximum(1 + np.float32(0.07) * mottle + (np.float32(0.02) + pits) * grain * sharp, np.float32(0.3))
        # The lamp's light falls off with the square of the distance, and blue and green first: depths are dark and red.
        lamp = (np.float32(0.2) + np.float32(0.8) * facing) * crevice / (np.float32(0.25) + t * t)
        lamp *= np.clip((np.float32(FAR) - t) / np.float32(2), 0, 1) * value
        # The wet film is uneven, which breaks the lamp's mirror image into spots.
        film = np.float32(0.03) * mottle + np.float32(0.02) * grain - np.float32(0.04)
        shine = np.clip((facing + film - np.float32(self.dullness)) * np.float32(40), 0, 1)
        shine *= np.float32(3) / (np.float32(0.5) + t * t)
        light = np.empty((len(t), 3), "f4")
        for channel, (vessel, patch, depth) in enumerate(((0.25, 0.05, 0.0), (0.75, 1.0, 0.12), (0.6, 0.9, 0.2))):
            albedo = np.float32(colon.albedo[channel]) * tint[channel]
            albedo = albedo * (1 - np.float32(vessel) * vessels) * (1 - np.float32(patch) * red)
            albedo += debris * (np.float32(colon.debris[channel]) - albedo)
            light[:, channel] = albedo * lamp * np.exp(np.float32(-depth) * t) + shine
        return light, mask

    def _add_bubbles(self, picture: np.ndarray, view: _View, t: np.ndarray) -> None:
        height, width = self.lens.size
        for position, radius in view.bubbles:
            offset = view.axes @ (position - view.position)
            away = float(np.linalg.norm(offset))
            column, row = self.lens.project(offset)
            pixels = radius / away / self.lens.pixel_angle
            top, bottom = max(int(row - pixels), 0), min(int(row + pixels) + 2, height)
            left, right = max(int(column - pixels), 0), min(int(column + pixels) + 2, width)
            if (
                away > SIGHT
                or top >= bottom
                or left >= right
                or t[(top + bottom) // 2, (left + right) // 2] < away - 0.2
            ):
                continue
            v, u = np.mgrid[top:bottom, left:right].astype("f4")
            u, v = (u - column) / pixels, (v - row) / pixels
            d = np.hypot(u, v)
            inside = np.clip((1 - d) * pixels, 0, 1)
            rim = np.clip(1 - np.abs(d - 0.85) * 6, 0, 1) * 0.35
            spot = np.clip(1.6 - 6 * np.hypot(u + 0.35, v + 0.35), 0, 1) * 2 + np.clip(
                1 - 6 * np.hypot(u - 0.4, v - 0.4), 0, 1
            )
            patch = picture[top:bottom, left:right]
            patch *= (1 - inside * (0.3 - rim))[..., None]
            patch += (inside * (rim * 0.4 + spot) / (0.5 + away * away))[..., None]

    def _expose(self, light: np.ndarray) -> np.ndarray:
        """Automatic exposure with a lag and swings, sensor noise, the dark border, and compression: uint8 (H, W, 3)."""
        rng = self.rng
        wanted = float(self.brightness / (np.minimum(light[::4, ::4], 1.5) * self.lens.view[::4, ::4, None]).mean())
        # The lamp control follows the scene, but slower than the scene changes.
        self.exposure = wanted if self.exposure is None else self.exposure * (wanted / self.exposure) ** 0.15
        self.swing = 0.9 * self.swing + rng.normal(0, 0.04)
        picture = 1 - np.exp(light * np.float32(-self.exposure * 0.55 * np.exp(self.swing)))
        picture = picture ** np.float32(0.85) * 255
        picture += rng.standard_normal(picture.shape, "f4") * np.float32(self.noise)
        picture = picture * self.lens.view[..., None] + 6
        encoded = io.BytesIO()
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=self.quality)
        return np.array(Image.open(encoded))


def _smear(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Average a picture along a movement of ``shift`` pixels (right, down), centred: masks stay where they are."""
    taps = min(int(np.ceil(np.abs(shift).max())) | 1, 9)
    if taps == 1:
        return picture
    total = np.zeros_like(picture)
    for part in np.linspace(-0.5, 0.5, taps):
        total += np.roll(picture, (round(part * shift[1]), round(part * shift[0])), (0, 1))
    return total / np.float32(taps)


# The clips ----------------------------------------------------------------------------------------------------------


def _check(size: tuple[int, int], **least: tuple[int, int]) -> None:
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise InputError(f"{name} is {value}: a phantom's is at least {minimum}")
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"size is {size[0]}x{size[1]} (height x width): a phantom's frame has {SMALLEST_SIDE} pixels a side or more"
        )


def phantom_clip(
    frames: int, size: tuple[int, int], seed: int, patient: int = 0, clip: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Make a clip of synthetic colonoscopy, frame by frame, in constant memory.

    The same arguments always give the same clip, and a longer clip begins with the frames of a shorter one: frame t
    does not depend on ``frames``. Polyp follows polyp; each is watched, lost from view and found again.

    Args:
        frames: length of the clip, at least 1; 30 are a second.
        size: height and width of a frame in pixels, at least 32 each.
        seed: of the whole phantom, not negative.
        patient: number of the patient, not negative. Clips of one patient share the colon's shape, colours and
            texture, and the endoscope's lens.
        clip: number of the patient's clip, not negative: another camera path with other polyps.

    Returns:
        An iterator over (frame, mask): the frame uint8 (H, W, 3) RGB, the mask uint8 (H, W), 255 where a polyp is
        visible inside the field of view and 0 elsewhere.

    Raises:
        InputError: if a number is too small, before the first frame is made.
    """
    _check(size, frames=(frames, 1), seed=(seed, 0), patient=(patient, 0), clip=(clip, 0))
    return _frames(frames, size, seed, patient, clip)


def _frames(
    frames: int, size: tuple[int, int], seed: int, patient: int, clip: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    look = np.random.default_rng([seed, patient])
    colon = _Colon(look)
    lens = _Lens(look, size)
    path, sensor = np.random.default_rng([seed, patient, clip, 0]), np.random.default_rng([seed, patient, clip, 1])
    examination = _Examination(path, colon)
    camera = _Camera(sensor, colon, lens)
    shown = False
    for _ in range(frames):
        frame, mask = camera.take(examination.advance(shown))
        shown = bool((mask > 0).mean() > 0.001)
        yield frame, mask


def _cases(clips: int, first_patient: int) -> list[tuple[int, int]]:
    """Patient and clip numbers of a split: every third patient has two clips."""
    cases: list[tuple[int, int]] = []
    patient = first_patient
    while len(cases) < clips:
        cases += [(patient, 1), (patient, 2)] if patient % 3 == 0 else [(patient, 1)]
        patient += 1
    return cases[:clips]


def _prepare(root: Path, overwrite: bool) -> None:
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: name a folder for the phantom")
    if root.is_dir() and any(root.iterdir()):
        if not overwrite:
            raise InputError(f"{root} is not empty: name another folder, or replace the phantom in it with --overwrite")
        if not (root / NOTE).is_file():
            raise InputError(
                f"{root} holds no {NOTE}, so its files are not a phantom's to overwrite: name another folder"
            )
        for split in (TRAIN, HELD_OUT):
            if (root / split).exists():
                shutil.rmtree(root / split)
    root.mkdir(parents=True, exist_ok=True)


def write_phantom(
    root: str | os.PathLike[str], clips: int, frames: int, size: tuple[int, int], seed: int, overwrite: bool = False
) -> None:
    """Write a phantom data set in SUN-SEG's layout, with a progress bar.

    Most clips go to ``<root>/TrainDataset/{Frame,GT}/case<N>_<M>``, a fifth of them (at least one, but none of a single
    clip) to ``<root>/TestEasyDataset/Unseen/{Frame,GT}``: other patients, numbered on. Every third patient has two
    clips. Frames are JPEG, masks 8-bit PNG of 0 and 255. ``<root>/PHANTOM.txt`` says that all of it is synthetic.
    A case folder appears when it is complete.

    Args:
        root: the folder to write to, made if absent.
        clips: number of clips, at least 1.
        frames: length of every clip, at least 1.
        size: height and width of the frames in pixels, at least 32 each.
        seed: the same seed and numbers give the same files, by the same NumPy and Pillow. Not negative.
        overwrite: replace the phantom that ``root`` holds. Only the splits' folders are removed.

    Raises:
        InputError: if a number is too small; if ``root`` is a file, is not empty and ``overwrite`` is off, or holds
            something that no phantom wrote.
    """
    _check(size, clips=(clips, 1), frames=(frames, 1), seed=(seed, 0))
    root = Path(root)
    _prepare(root, overwrite)

    command = (
        f"python -m lsinet_monai phantom OUT --clips {clips} --frames {frames} --size {size[0]}x{size[1]} --seed {seed}"
    )
    with atomic_write(root / NOTE) as note:
        note.write_text(
            "All frames and masks in this folder are synthetic: a computed phantom of a colonoscopy, of no patient.\n"
            "They are for trying and testing software. Scores on them say nothing about real colonoscopies.\n\n"
            f"seed: {seed}\nmade by: {command}\n",
            encoding="utf-8",
        )

    held_out = max(1, round(clips / 5)) if clips > 1 else 0
    train = _cases(clips - held_out, 1)
    test = _cases(held_out, train[-1][0] + 1)
    cases = [(root / TRAIN, case) for case in train] + [(root / HELD_OUT, case) for case in test]
    with tqdm(total=clips * frames, unit="frame", desc="phantom") as progress:
        for split, (patient, clip) in cases:
            _write_clip(split, phantom_clip(frames, size, seed, patient, clip), patient, clip, progress)


def _write_clip(
    split: Path, clip: Iterator[tuple[np.ndarray, np.ndarray]], patient: int, number: int, progress: tqdm
) -> None:
    split.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=split, prefix=".phantom-") as name:
        # Folders inside the temporary one have ordinary permissions, which a rename keeps; its own are private.
        frames, masks = Path(name) / "Frame", Path(name) / "GT"
        frames.mkdir()
        masks.mkdir()
        for index, (frame, mask) in enumerate(clip, start=1):
            stem = f"case_P_{patient:03d}_a{number}_ayy_image{index:04d}"
            Image.fromarray(frame).save(frames / f"{stem}.jpg", quality=92)
            Image.fromarray(mask).save(masks / f"{stem}.png")
            progress.update()
        # The frames' folder last: whoever finds a case's frames finds their masks too.
        for folder, kind in ((masks, "GT"), (frames, "Frame")):
            target = split / kind / f"case{patient}_{number}"
            target.parent.mkdir(exist_ok=True)
            os.replace(folder, target)
