"""The endoscope's camera: traces the distance fields of the colon and its polyps, shades them, and adds artefacts.

A sphere tracer follows one ray per pixel, so the mask is exactly the part of the picture that shows a polyp. The last
steps add what makes real video hard: highlights, motion blur, bubbles, debris, exposure swings, noise, and JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lsinet_monai.data.phantom.colon import Colon, Polyp, blend, rotate

__all__ = ["SIGHT", "Camera", "Lens", "Scene", "View"]

HALF_ANGLE = 0.96  # radians from the centre to half the geometric mean of the frame's sides: a fisheye lens
SIGHT = 3.6  # how far the lamp lets a person see a polyp; the mask leaves out farther ones
FAR = 5.0  # length of the longest ray, which ends in the dark
STEP = 0.6  # fraction of the distance field per step, because the field overestimates next to steep folds


class Lens:
    """The pixels' rays, and the field of view: an octagon or a circle with cut sides, inside a dark border.

    Args:
        rng: draws the field of view.
        size: height and width of the frames in pixels.

    Attributes:
        rays: float32, (3, H, W), unit vectors in the camera's axes.
        view: float32, (H, W), 1 inside the field of view, 0 in the border, with a soft edge.
        inside: the flat indices of the pixels with a ``view`` above 0.
    """

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
        self.view = np.clip(inset, 0, 1).astype("f4")
        self.inside = np.flatnonzero(self.view)

    def project(self, direction: np.ndarray) -> tuple[float, float]:
        """Return the column and row of the pixel that a direction (3,), in the camera's axes, falls on."""
        across = float(np.hypot(direction[0], direction[1])) + 1e-9
        scale = np.arctan2(across, direction[2]) / (across * self.pixel_angle)
        height, width = self.size
        return direction[0] * scale + (width - 1) / 2, direction[1] * scale + (height - 1) / 2


@dataclass
class View:
    """The camera's pose in one frame, and the objects near it.

    Args:
        position: (3,), in radii of the colon.
        axes: (3, 3), the camera's right, down and forward as rows.
        turn: (2,), how far the picture moves between frames, to the right and down, in radians.
        polyps: the polyps near the camera.
        bubbles: position (3,) and radius of each bubble.
    """

    position: np.ndarray
    axes: np.ndarray
    turn: np.ndarray
    polyps: list[Polyp]
    bubbles: list[tuple[np.ndarray, float]]


class Scene:
    """The surfaces that the rays of one view can meet.

    Args:
        colon: the colon.
        view: the camera's position and the polyps near it.
        rays: float32, (3, N), unit vectors in the colon's axes.
    """

    def __init__(self, colon: Colon, view: View, rays: np.ndarray) -> None:
        self.colon, self.view, self.rays = colon, view, rays
        self.origin = view.position.astype("f4")
        self.near: list[tuple[Polyp, np.ndarray]] = []
        for polyp in view.polyps:
            offset = polyp.centre - view.position
            away = float(np.linalg.norm(offset))
            if away < FAR:
                # Most rays pass no polyp: only those that do evaluate its distance field.
                cosine = np.sqrt(max(1 - (polyp.bound / away) ** 2, 0)) if away > polyp.bound else -1
                index = np.flatnonzero(rotate(offset[None] / away, *rays)[0] > cosine)
                if len(index):
                    self.near.append((polyp, index))

    def points(self, t: np.ndarray) -> np.ndarray:
        """Return the points (3, N) at the distances t (N,) along the rays."""
        return self.origin[:, None] + self.rays * t

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the approximate distance (N,) from points (3, N), one on each ray, to the nearest surface."""
        x, y, z = points
        distance = self.colon.distance(x, y, z)
        for polyp, index in self.near:
            distance[index] = blend(distance[index], polyp.distance(x[index], y[index], z[index]))
        return distance

    def trace(self, t: np.ndarray, steps: int) -> np.ndarray:
        """Step along the rays from the distances t (N,) towards the first surface, and return the new distances."""
        for _ in range(steps):
            t = np.clip(t + np.float32(STEP) * self.distance(self.points(t)), 0, FAR)
        return t

    def settle(self, t: np.ndarray) -> np.ndarray:
        """Trace the rays from the distances t (N,) to their surfaces, and return the new distances.

        All rays get a few steps, and the few rays that graze something get more.
        """
        t = self.trace(t, 4)
        open_rays = np.flatnonzero((np.abs(self.distance(self.points(t))) > 0.004 * (1 + t)) & (t < FAR))
        if len(open_rays):
            t[open_rays] = Scene(self.colon, self.view, self.rays[:, open_rays]).trace(t[open_rays], 20)
        return t


def _nearest_of_neighbours(t: np.ndarray, size: tuple[int, int], factor: int) -> np.ndarray:
    """Enlarge coarse ray lengths (h, w) to ``size`` by the minimum of 3 x 3: a safe start for every full-size ray."""
    padded = np.pad(t, 1, mode="edge")
    rows = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
    least = np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return least.repeat(factor, 0).repeat(factor, 1)[: size[0], : size[1]]


class Camera:
    """Renders the frames of one clip: traces, shades, and adds artefacts.

    Args:
        rng: draws the sensor's properties and its noise.
        colon: the colon.
        lens: the lens, which sets the size of the frames.
    """

    COARSE = 4  # every 4th pixel of every 4th row is traced from the camera; the others start near the wall
    BAND = 65536  # pixels traced and shaded at once, to bound the memory that large frames take

    def __init__(self, rng: np.random.Generator, colon: Colon, lens: Lens) -> None:
        self.rng, self.colon, self.lens = rng, colon, lens
        self.exposure: float | None = None
        self.swing = 0.0
        self.brightness = rng.uniform(0.8, 1.25)
        self.dullness = rng.uniform(0.965, 0.99)  # the cosine above which the film mirrors the lamp
        self.noise = rng.uniform(1.0, 4.5)
        self.quality = int(rng.integers(55, 92))

    def take(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Render a view: the frame (H, W, 3) and the mask (H, W), both uint8."""
        height, width = self.lens.size
        turned = np.stack(rotate(view.axes.T, *self.lens.rays.reshape(3, -1)))
        step = self.COARSE
        row = np.minimum(np.arange(step // 2, height + step // 2, step), height - 1)
        column = np.minimum(np.arange(step // 2, width + step // 2, step), width - 1)
        chosen = (row[:, None] * width + column).ravel()
        coarse = Scene(self.colon, view, turned[:, chosen])
        start = coarse.trace(np.full(len(chosen), 0.02, "f4"), 36).reshape(len(row), len(column))
        start = _nearest_of_neighbours(start, self.lens.size, step).ravel() * np.float32(0.97)

        light = np.zeros((height * width, 3), "f4")
        depth = np.full(height * width, FAR, "f4")
        mask = np.zeros(height * width, bool)
        for band in np.array_split(self.lens.inside, -(-len(self.lens.inside) // self.BAND)):
            scene = Scene(self.colon, view, turned[:, band])
            depth[band] = scene.settle(start[band])
            light[band], mask[band] = self.shade(scene, depth[band])
        picture = light.reshape(height, width, 3)
        self._add_bubbles(picture, view, depth.reshape(height, width))
        picture = _smear(picture, 0.5 * view.turn / self.lens.pixel_angle)
        return self._expose(picture), mask.reshape(height, width).astype(np.uint8) * np.uint8(255)

    def shade(self, scene: Scene, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shade the surfaces that a scene's rays meet.

        Args:
            scene: the surfaces and the rays.
            t: float32, (N,), the length of each ray, in radii of the colon.

        Returns:
            The light that comes back along the rays, float32, (N, 3), RGB, and whether a polyp reflects it, bool, (N,).
        """
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
        # Crevices are dark: next to one, a point above the wall is nearer to another surface than to its own.
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
        # The lamp's light falls off with the square of the distance, blue and green first, so the far end is dark red.
        lamp = (np.float32(0.2) + np.float32(0.8) * facing) * crevice / (np.float32(0.25) + t * t)
        lamp *= np.clip((np.float32(FAR) - t) / np.float32(2), 0, 1) * value
        # An uneven wet film breaks the lamp's reflection into spots.
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

    def _add_bubbles(self, picture: np.ndarray, view: View, t: np.ndarray) -> None:
        """Draw the bubbles that no surface at the distances t (H, W) hides, into the picture itself."""
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
        """Turn light (H, W, 3) into a frame, uint8: lagging automatic exposure, noise, the dark border and JPEG."""
        rng = self.rng
        wanted = float(self.brightness / (np.minimum(light[::4, ::4], 1.5) * self.lens.view[::4, ::4, None]).mean())
        # The exposure control follows the scene with a lag.
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
    """Average a picture along a movement of ``shift`` pixels (right, down), centred so that the mask still fits."""
    taps = min(int(np.ceil(np.abs(shift).max())) | 1, 9)
    if taps == 1:
        return picture
    total = np.zeros_like(picture)
    for part in np.linspace(-0.5, 0.5, taps):
        total += np.roll(picture, (round(part * shift[1]), round(part * shift[0])), (0, 1))
    return total / np.float32(taps)
