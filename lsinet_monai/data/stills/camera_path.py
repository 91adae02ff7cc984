"""The camera's path over a still: which part of it a frame shows."""

from __future__ import annotations

import numpy as np

__all__ = ["CameraPath", "Drift", "Episodes", "clearest_window"]

_PERIODS = (12.0, 200.0)  # frames: the fastest and the slowest part of a movement
_PARTS = 3
_ZOOM = 0.25  # of the natural logarithm
_ROTATION = 0.25  # radians
_SHIFT = 0.15  # of the window's side
_PERSPECTIVE = 0.15  # of the window's depth, from its centre to its rim
_GRID = 24  # windows are searched at so many places a side


class Drift:
    """A smooth random function of time: a sum of waves with random periods and phases.

    Args:
        rng: the source of randomness.
        size: the number of values at a time.
        speed: 2 runs through the same course in half the time.
    """

    def __init__(self, rng: np.random.Generator, size: int = 1, speed: float = 1.0) -> None:
        low, high = np.log(_PERIODS)
        period = np.exp(rng.uniform(low, high, (_PARTS, size))) / speed
        self._frequency = 2 * np.pi / period
        self._phase = rng.uniform(0, 2 * np.pi, (_PARTS, size))
        # Slow waves are the large ones, as in a hand's movement.
        weight = np.sqrt(period)
        self._weight = weight / np.linalg.norm(weight, axis=0)

    def __call__(self, time: float) -> np.ndarray:
        """Return the values at a time in frames, (size,), about -1.5 to 1.5, with a mean of 0 over long times."""
        return (self._weight * np.sin(self._frequency * time + self._phase)).sum(axis=0)


class Episodes:
    """Stretches of a clip in which something happens, each of 1 to 20 frames or longer, at random places.

    Args:
        rng: the source of randomness.
        share: the share of the frames in which it happens, on average, from 0 to 1.
        frames: the length of the clip.
        lengths: the shortest and the longest stretch in frames.
    """

    def __init__(
        self, rng: np.random.Generator, share: float, frames: int, lengths: tuple[float, float] = (1, 20)
    ) -> None:
        low, high = lengths
        mean = (high - low) / np.log(high / low) if high > low else low
        count = rng.poisson(share * (frames + mean) / mean)
        self._length = np.exp(rng.uniform(np.log(low), np.log(high), count))
        self._start = rng.uniform(-self._length, frames)
        self.seeds = rng.integers(2**32, size=count)

    def at(self, time: float) -> list[tuple[int, float]]:
        """List what happens at a time: (seed of the episode, progress from 0 at its start to 1 at its end)."""
        progress = (time - self._start) / self._length
        return [(int(self.seeds[i]), float(progress[i])) for i in np.flatnonzero((progress >= 0) & (progress < 1))]


class CameraPath:
    """A smooth path of a camera over a picture: zoom, rotation, shift and perspective, at a random speed.

    Args:
        rng: the source of randomness.
        window: the part of the picture that the camera shows on average: its centre x, y and its width and height in
            pixels of the picture.
        speed: how fast the camera moves; 1 is a calm examination.
        away: the window that the camera looks at in ``absences``, as ``window``.
        absences: when the camera looks away.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        window: np.ndarray,
        speed: float = 1.0,
        away: np.ndarray | None = None,
        absences: Episodes | None = None,
    ) -> None:
        self._window = np.asarray(window, float)
        self._away = away
        self._absences = absences
        self._drift = Drift(rng, 6, speed)
        self._turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else rng.normal(0, 0.2)
        self._mirror = rng.random() < 0.5

    def matrix(self, time: float, size: tuple[int, int]) -> np.ndarray:
        """Return the projection from a frame's pixels to the picture's, at a time in frames.

        Args:
            time: in frames; any number.
            size: height and width of the frame in pixels.

        Returns:
            (3, 3): homogeneous coordinates (x, y, 1) of pixel centres in the frame to those in the picture.
        """
        drift = self._drift(time)
        x, y, width, height = self._look_at(time)
        zoom = np.exp(_ZOOM * drift[0])
        angle = self._turn + _ROTATION * drift[1]
        cos, sin = np.cos(angle), np.sin(angle)
        mirror = -1 if self._mirror else 1
        # From the frame to a square of side 2 about the origin, and from there, turned and tilted, to the window.
        frame = np.array([[2 / size[1], 0, -1], [0, 2 / size[0], -1], [0, 0, 1]])
        tilt = np.array([[1, 0, 0], [0, 1, 0], [*(_PERSPECTIVE * drift[2:4]), 1]])
        turn = np.array([[cos * mirror, -sin, 0], [sin * mirror, cos, 0], [0, 0, 1]])
        side = np.array(
            [
                [width / 2 * zoom, 0, x + _SHIFT * width * drift[4]],
                [0, height / 2 * zoom, y + _SHIFT * height * drift[5]],
                [0, 0, 1],
            ]
        )
        return side @ turn @ tilt @ frame

    def _look_at(self, time: float) -> np.ndarray:
        """The window without the drift."""
        away = self.absence(time)
        return self._window if self._away is None else (1 - away) * self._window + away * self._away

    def absence(self, time: float) -> float:
        """Return how far the camera looks away at a time: 0 for not at all, 1 for wholly.

        It turns away in the first quarter of an absence, and back in the last.
        """
        if self._absences is None or self._away is None:
            return 0.0
        ramps = [min(1.0, 4 * progress, 4 * (1 - progress)) for _, progress in self._absences.at(time)]
        return max((ramp * ramp * (3 - 2 * ramp) for ramp in ramps), default=0.0)


def clearest_window(
    rng: np.random.Generator, mask: np.ndarray, share: float, allowed: float = 0.0
) -> np.ndarray | None:
    """Find a window of a still that shows no polyp.

    Args:
        rng: chooses among all such windows.
        mask: bool, (H, W), True for polyp.
        share: width and height of the window, as a share of the still's, in (0, 1].
        allowed: the share of the window's pixels that may be polyp.

    Returns:
        The window's centre x, y, width and height in pixels, or None if every window shows more polyp.
    """
    size = np.maximum(np.rint(share * np.array(mask.shape)).astype(int), 1)
    total = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    places = [np.unique(np.linspace(0, rest, _GRID).astype(int)) for rest in mask.shape - size]
    top, left = (grid.ravel() for grid in np.meshgrid(*places, indexing="ij"))
    bottom, right = top + size[0], left + size[1]
    polyp = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    clear = np.flatnonzero(polyp <= allowed * size.prod())
    if not clear.size:
        return None
    at = rng.choice(clear)
    return np.array([left[at] + size[1] / 2, top[at] + size[0] / 2, size[1], size[0]], float)
