"""What comes between the camera and the mucosa: glare, water, smoke, an instrument, the rim of the field of view.

Each function changes a frame, uint8, (H, W, 3), and its mask, bool, (H, W), and returns both. ``progress`` runs from 0
at the start of an episode to 1 at its end; ``rng`` has the episode's seed, so that the frames of one episode agree.
``strength`` scales what is drawn: how large, opaque or long it is.
Glare and smoke leave the mask as it is: the polyp lies under them. An instrument and the rim cut off what they hide.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lsinet_monai.data.stills.warp import blur, displace, smooth_noise

__all__ = [
    "OBSTACLES",
    "FieldRim",
    "add_glare",
    "add_instrument",
    "add_rim",
    "add_smoke",
    "add_water",
    "defocus",
    "shake",
]

Picture = tuple[np.ndarray, np.ndarray]


def _ramp(progress: float, share: float = 0.25) -> float:
    """How far an episode has set in: from 0 to 1 in its first share, and back in its last."""
    return float(np.clip(min(progress, 1 - progress) / share, 0.15, 1))


def _mix(frame: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay a colour, broadcast to (H, W, 3), over a frame with an opacity of (H, W, 1)."""
    return np.clip(frame + alpha * (colour - frame.astype(np.float32)), 0, 255).astype(np.uint8)


def _blobs(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    radii: tuple[float, float],
    soft: float,
    shift: np.ndarray,
) -> np.ndarray:
    """Draw ellipses of random place, size and direction, with soft edges: float32, (H, W, 1), from 0 to 1."""
    height, width = size
    side = min(size)
    picture = Image.new("L", (width, height))
    for _ in range(count):
        centre = rng.uniform(-0.1, 1.1, 2) * (width, height) + shift * side
        radius = np.exp(rng.uniform(*np.log(radii))) * side
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        stretch, turn = rng.uniform(1, 3), rng.uniform(0, np.pi)
        wobble = radius * rng.uniform(0.7, 1.1, 16)
        x, y = stretch * wobble * np.cos(angles), wobble * np.sin(angles)
        points = centre + np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
        ImageDraw.Draw(picture).polygon([tuple(point) for point in points], fill=255)
    picture = picture.filter(ImageFilter.GaussianBlur(soft * side))
    return np.asarray(picture, np.float32)[..., None] / 255


def add_glare(
    frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator, strength: float = 1.0
) -> Picture:
    """Add specular reflections, from many small spots to a patch that whitens a third of the view."""
    if rng.random() < 0.5:
        count, radii, soft = int(rng.integers(5, 40)), (0.004, 0.03), 0.004
    else:
        count, radii, soft = int(rng.integers(1, 4)), (0.05, 0.2), 0.04
    shift = (progress - 0.5) * rng.normal(0, 0.15, 2)
    opacity = rng.uniform(0.7, 1.2) * _ramp(progress)
    radii = strength * radii[0], strength * radii[1]
    alpha = np.minimum(_blobs(rng, (mask.shape[0], mask.shape[1]), count, radii, soft, shift) * opacity, 1)
    return _mix(frame, np.array([255, 252, 245], np.float32), alpha), mask


def add_water(
    frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator, strength: float = 1.0
) -> Picture:
    """Let water run over the lens: it bends the picture, blurs it in places, and carries bubbles."""
    size = mask.shape[0], mask.shape[1]
    cells, depth = int(rng.integers(3, 9)), strength * rng.uniform(0.02, 0.08) * _ramp(progress)
    flow = (progress - 0.5) * rng.normal(0, 0.6, 2)
    bend = [2 * depth * (_drifting_noise(rng, cells, size, flow) - 0.5) for _ in range(2)]
    frame, mask = displace(frame, mask, np.stack(bend))
    wet = _drifting_noise(rng, cells, size, flow)[..., None]
    soft = blur(frame, strength * rng.uniform(0.005, 0.02) * min(size))
    frame = _mix(frame, soft.astype(np.float32), np.clip(2 * wet - 0.5, 0, 1) * _ramp(progress))
    return _add_bubbles(frame, rng, flow), mask


def _drifting_noise(rng: np.random.Generator, cells: int, size: tuple[int, int], shift: np.ndarray) -> np.ndarray:
    """Draw smooth noise, float32, (H, W), from 0 to 1, moved by (x, y), each from -0.5 to 0.5 of the frame's side."""
    height, width = size
    whole = smooth_noise(rng, 2 * cells, (2 * height, 2 * width))
    left, top = (int((0.5 + x) * side) for x, side in zip(np.clip(shift, -0.5, 0.5), (width, height), strict=True))
    return whole[top : top + height, left : left + width]


def _add_bubbles(frame: np.ndarray, rng: np.random.Generator, flow: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    side = min(height, width)
    rims, spots = Image.new("L", (width, height)), Image.new("L", (width, height))
    for _ in range(rng.integers(0, 25)):
        x, y = (rng.random(2) + flow * rng.uniform(0.5, 1.5)) % 1 * (width, height)
        radius = np.exp(rng.uniform(np.log(0.01), np.log(0.08))) * side
        box = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(rims).ellipse(box, outline=int(rng.integers(60, 160)), width=max(1, int(radius / 6)))
        x, y, radius = x - radius / 3, y - radius / 3, radius / 6 + 0.5
        ImageDraw.Draw(spots).ellipse((x - radius, y - radius, x + radius, y + radius), fill=230)
    rims = rims.filter(ImageFilter.GaussianBlur(0.003 * side))
    alpha = np.maximum(np.asarray(rims, np.float32), np.asarray(spots, np.float32))[..., None] / 255
    return _mix(frame, np.array([255, 245, 235], np.float32), alpha)


def add_smoke(
    frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator, strength: float = 1.0
) -> Picture:
    """Let smoke of a hot snare, or lens fog, drift through the view."""
    size = mask.shape[0], mask.shape[1]
    flow = (progress - 0.5) * rng.normal(0, 0.8, 2)
    shape = 0.7 * _drifting_noise(rng, 4, size, flow) + 0.3 * _drifting_noise(rng, 12, size, flow)
    alpha = np.clip(strength * rng.uniform(0.5, 0.95) * (0.35 + shape[..., None]) * _ramp(progress), 0, 0.97)
    frame = blur(frame, strength * 0.008 * min(size) * _ramp(progress))
    return _mix(frame, rng.uniform(150, 235) * np.array([1, 0.97, 0.95], np.float32), alpha), mask


def add_instrument(
    frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator, strength: float = 1.0
) -> Picture:
    """Push forceps, a snare's sheath or a needle in from the rim, and draw it back."""
    height, width = mask.shape
    side = min(height, width)
    enters = rng.uniform(0, 2 * np.pi)
    direction = -np.array([np.cos(enters), np.sin(enters)])
    centre = np.array([width, height]) * rng.uniform(0.35, 0.65, 2)
    tip = centre - direction * side * (0.75 - rng.uniform(0.6, 1.0) * _ramp(progress, 0.4))
    half = strength * side * rng.uniform(0.03, 0.09)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    along = (x - tip[0]) * direction[0] + (y - tip[1]) * direction[1]
    across = ((x - tip[0]) * direction[1] - (y - tip[1]) * direction[0]) / half
    # It looks narrower at its tip, which is farther away.
    across = across / np.clip(1 - along / (1.5 * side), 0.8, 2.0)
    inside = (along < 0) & (np.abs(across) < 1)
    colour = np.array([[200, 200, 205], [60, 100, 180], [225, 225, 215], [90, 90, 95]], np.float32)[rng.integers(4)]
    shade = np.clip(1 - across**2, 0, 1) ** 0.5 * 0.8 + 0.2 + 0.5 * np.exp(-(((across + 0.3) / 0.15) ** 2))
    rings = 1 + 0.15 * np.sin(along / half * rng.uniform(2, 6))
    alpha = np.asarray(Image.fromarray(inside).convert("L").filter(ImageFilter.GaussianBlur(1)), np.float32) / 255
    frame = _mix(frame, np.clip(colour * (shade * rings)[..., None], 0, 255), alpha[..., None])
    return frame, mask & ~inside


class FieldRim:
    """The rim of the endoscope's field of view: a rectangle with cut corners, an octagon or a disc; black outside.

    Args:
        rng: the source of randomness.
        size: height and width of the frames in pixels.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        height, width = size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        x, y = np.abs(2 * (x + 0.5) / width - 1), np.abs(2 * (y + 0.5) / height - 1)
        kind = rng.integers(3)
        if kind == 0:
            inside = x**2 + y**2 < rng.uniform(0.95, 1.3) ** 2
        else:
            inside = x + y < rng.uniform(1.35, 1.8)
        if kind == 2:
            margin = 1 - rng.uniform(0, 0.12, 2)
            inside &= (x < margin[0]) & (y < margin[1])
        self._inside = inside
        self._dark = rng.integers(0, 20)

    def __call__(self, frame: np.ndarray, mask: np.ndarray) -> Picture:
        """Blacken a frame outside the field, and cut the mask off there."""
        return np.where(self._inside[..., None], frame, np.uint8(self._dark)), mask & self._inside


def add_rim(frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator) -> Picture:
    """Let a fold or the rim of a cap, dark and out of focus, slide in from one side and back."""
    height, width = mask.shape
    side = min(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - width / 2, y - height / 2
    outward = (x * normal[0] + y * normal[1]) / side
    across = (x * normal[1] - y * normal[0]) / side
    edge = 0.55 - rng.uniform(0.1, 0.6) * _ramp(progress, 0.4) + rng.uniform(-0.8, 0.8) * across**2
    alpha = np.clip((outward - edge) * rng.uniform(15, 80), 0, 1)
    colour = (
        rng.uniform(0, 0.5) * np.array([160, 70, 60], np.float32) if rng.random() < 0.7 else np.zeros(3, np.float32)
    )
    return _mix(frame, colour, alpha[..., None]), mask & (alpha < 0.5)


def defocus(
    frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator, strength: float = 1.0
) -> Picture:
    """Put the scene out of focus."""
    radius = strength * np.exp(rng.uniform(np.log(0.005), np.log(0.03)))
    return blur(frame, radius * min(mask.shape) * _ramp(progress)), mask


def shake(
    frame: np.ndarray, mask: np.ndarray, progress: float, rng: np.random.Generator, strength: float = 1.0
) -> Picture:
    """Blur a frame along a quick movement of the camera, up to an eighth of its side."""
    length = strength * np.exp(rng.uniform(np.log(0.015), np.log(0.12))) * min(mask.shape) * _ramp(progress)
    angle = rng.uniform(0, np.pi)
    steps = int(np.clip(length / 2, 3, max(3, 15 * strength)))
    margin = int(length / 2) + 2
    image = Image.fromarray(np.pad(frame, ((margin, margin), (margin, margin), (0, 0)), "edge"))
    total = np.zeros(frame.shape, np.float32)
    for offset in np.linspace(-length / 2, length / 2, steps):
        shift = (1, 0, margin + offset * np.cos(angle), 0, 1, margin + offset * np.sin(angle))
        total += np.asarray(
            image.transform((mask.shape[1], mask.shape[0]), Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        )
    return (total / steps).astype(np.uint8), mask


OBSTACLES = {
    "instrument": add_instrument,
    "rim": add_rim,
    "smoke": add_smoke,
    "water": add_water,
    "glare": add_glare,
    "defocus": defocus,
    "shake": shake,
}
"""By name, in the order from the mucosa to the sensor: what may spoil a stretch of frames."""
