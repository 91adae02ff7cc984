"""A colon: a bent tube with haustral folds and a textured wall, and the polyps on it, as distance fields.

Lengths are in radii of the colon (about 2.5 cm). z runs along the colon, x and y across it, y downwards.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Colon", "Polyp", "blend", "rotate"]


def _noise(rng: np.random.Generator, side: int, frequency: float, width: float = 0.5) -> np.ndarray:
    """Draw tileable noise (side, side) with about ``frequency`` waves per side, mean 0 and standard deviation 1."""
    waves = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    band = np.exp(-((np.log(np.maximum(waves, 1e-3) / frequency) / width) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * band, s=(side, side))
    return (noise - noise.mean()) / noise.std()


class Colon:
    """A patient's colon: its course, folds, colours and texture, all periodic or closed-form in z, so it never ends.

    Args:
        rng: draws the patient.

    Points are given as x, y and z, each float32 of shape (N,).
    """

    TEXTURE_SIDE = 512  # texels around the colon, and along every 2 pi radii of its length

    def __init__(self, rng: np.random.Generator) -> None:
        self.bend = rng.uniform(0.5, 1.0, 2)
        self.bend_rate = rng.uniform(0.4, 0.65, 2) * (1, 1.3)
        self.bend_phase = rng.uniform(0, 2 * np.pi, 2)
        self.fold_rate = rng.uniform(1.1, 1.6)
        self.fold_width = rng.uniform(0.24, 0.36)
        self.fold_warp = rng.uniform(0.05, 0.16)
        self.triangle = rng.uniform(0.03, 0.09)
        # A haustral fold is a crescent: highest at one angle, and almost flat on the opposite side.
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
        self.water = rng.uniform(0.9, 1.15)  # mean depth of its surface below the centre line
        self.texture = self._make_texture(rng)

    def _make_texture(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the wall's texture, float32, (5, side * side): mottle, vessels, grain, red patches, debris."""
        side = self.TEXTURE_SIDE
        mottle = 0.6 * _noise(rng, side, 6) + 0.5 * _noise(rng, side, 24) + 0.4 * _noise(rng, side, 70)
        vessels = np.zeros((side, side))
        for frequency, thickness in ((7, 0.05), (16, 0.09), (30, 0.14)):
            # A vessel follows the zero crossings of smooth noise, and fades in and out.
            crossing = np.exp(-((_noise(rng, side, frequency, 0.6) / thickness) ** 2))
            vessels = np.maximum(vessels, crossing * np.clip(0.5 + _noise(rng, side, frequency / 2), 0, 1))
        grain = _noise(rng, side, 110, 0.4)
        patches = np.clip(_noise(rng, side, 5) - 0.9, 0, 1)
        debris = np.clip(3 * (_noise(rng, side, 14) + 0.5 * _noise(rng, side, 45) - rng.uniform(2.2, 3.4)), 0, 1)
        return np.stack([mottle, vessels, grain, patches, debris]).reshape(5, -1).astype("f4")

    def centre(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y, each (N,), of the centre line at depth z."""
        x, y = (
            np.float32(b) * np.sin(np.float32(r) * z + np.float32(p))
            for b, r, p in zip(self.bend, self.bend_rate, self.bend_phase, strict=True)
        )
        return x, y

    def middle(self, z: float) -> np.ndarray:
        """Return the point (3,) of the centre line at depth z."""
        return np.concatenate([*self.centre(np.array([z], "f4")), [z]])

    def wall(self, z: float, angle: float) -> np.ndarray:
        """Return the vector (3,) from the centre line to the wall, across the lumen at depth z."""
        cos, sin = np.array([np.cos(angle)], "f4"), np.array([np.sin(angle)], "f4")
        return np.concatenate([cos, sin, [0]]) * self.radius(np.array([z], "f4"), cos, sin)

    def fold_phase(self, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Return the position (N,) along the folds: whole numbers are the folds' crests, counted along z."""
        return np.float32(self.fold_rate) * z + np.float32(self.fold_warp) * (cos * cos - sin * sin + sin)

    def radius(self, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Return the distance (N,) from the centre line to the wall at depth z, in the direction (cos, sin)."""
        cos2, sin2 = cos * cos - sin * sin, 2 * cos * sin
        q = self.fold_phase(z, cos, sin)
        fold = np.rint(q)
        even, along, across = self.folds[:, fold.astype(np.int32) & 63]
        crest = np.maximum(1 - ((q - fold) * np.float32(1 / self.fold_width)) ** 2, 0)
        height = (even + along * cos + across * sin) * crest * crest
        return 1 + np.float32(self.triangle) * (cos * cos2 - sin * sin2) - height

    def surfaces(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the approximate distances (N,) to the wall and to the water below; negative behind them."""
        cx, cy = self.centre(z)
        dx, dy = x - cx, y - cy
        r = np.sqrt(dx * dx + dy * dy) + np.float32(1e-6)
        level = np.float32(self.water) + np.float32(0.2) * np.sin(np.float32(0.7) * z)
        return self.radius(z, dx / r, dy / r) - r, level - dy

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the approximate distance (N,) to the wall or the water, whichever is nearer."""
        return np.minimum(*self.surfaces(x, y, z))

    def look_up(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
        """Sample the five channels of the texture, each (N,), at points of the wall, bilinearly."""
        cx, cy = self.centre(z)
        side = self.TEXTURE_SIDE
        scale = np.float32(side / (2 * np.pi))
        dx, dy = x - cx, y - cy
        # Height above the wall counts as length too; otherwise polyps and folds would have streaks instead of texture.
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


def rotate(matrix: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Multiply a matrix (M, 3) with points x, y and z, each (N,), and return M arrays of shape (N,).

    Written out, because BLAS starts threads for a product this thin: they cost more time than they save, and their
    number changes the last bits.
    """
    return [a * x + b * y + c * z for a, b, c in matrix.astype("f4")]


class Polyp:
    """An ellipsoid with lobes on the wall: sessile, pedunculated (on a stalk) or flat.

    Args:
        rng: draws the polyp.
        colon: the colon to put it in.
        z: about where along the colon; the polyp moves to the near side of the closest fold.
    """

    def __init__(self, rng: np.random.Generator, colon: Colon, z: float) -> None:
        angle = np.pi / 2 + rng.uniform(0.9, 2 * np.pi - 0.9)  # away from the bottom, which is under water
        cos, sin = np.cos(angle), np.sin(angle)
        # On the side of a fold that faces the camera; otherwise a fold might hide the polyp all the time.
        phase = colon.fold_phase(np.array([z]), np.array([cos]), np.array([sin])).item()
        z += (round(phase) + rng.uniform(-0.4, 0.05) - phase) / colon.fold_rate
        kind = rng.choice(["sessile", "pedunculated", "flat"], p=[0.5, 0.25, 0.25])
        size = rng.uniform(0.25, 0.46)
        self.stalk = 0.0  # length of the stalk, which has a third of the head's radius
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
        """Return the approximate distance (N,) of points to the polyp's surface; negative inside."""
        cx, cy, cz = self.centre.astype("f4")
        a, b, c = rotate(self.axes, x - cx, y - cy, z - cz)
        ra, rb, rc = self.radii
        k0 = np.sqrt((a / ra) ** 2 + (b / rb) ** 2 + (c / rc) ** 2)
        k1 = np.sqrt((a / ra**2) ** 2 + (b / rb**2) ** 2 + (c / rc**2) ** 2) + np.float32(1e-6)
        distance = k0 * (k0 - 1) / k1
        rate, (pa, pb, pc) = np.float32(self.lobe_rate), self.lobe_phase.astype("f4")
        distance += np.float32(self.lobes) * np.sin(rate * a + pa) * np.sin(rate * b + pb) * np.sin(rate * c + pc)
        if self.stalk:
            below = c - np.clip(c, np.float32(-self.stalk - 0.1), np.float32(0))
            stalk = np.sqrt(a * a + b * b + below * below) - self.radii.min() / 3
            distance = blend(distance, stalk)
        return distance


def blend(a: np.ndarray, b: np.ndarray, width: float = 0.1) -> np.ndarray:
    """Join two distance fields (N,), with the seam rounded over about ``width`` radii."""
    overlap = np.maximum(np.float32(width) - np.abs(a - b), 0)
    return np.minimum(a, b) - overlap * overlap * np.float32(0.25 / width)
