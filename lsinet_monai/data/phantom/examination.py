"""The path of the camera through the colon, frame by frame."""

from __future__ import annotations

import numpy as np

from lsinet_monai.data.phantom.camera import View
from lsinet_monai.data.phantom.colon import Colon, Polyp

__all__ = ["Examination"]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


class Examination:
    """Moves the camera like an endoscopist: watch a polyp, glance elsewhere, come back, travel to the next one.

    The camera follows its target like a damped spring, with a tremor. The examination keeps only the polyps and bubbles
    near the camera, so it can last any number of frames.

    Args:
        rng: draws the path, the polyps and the bubbles.
        colon: the colon.
    """

    def __init__(self, rng: np.random.Generator, colon: Colon) -> None:
        self.rng, self.colon = rng, colon
        self.polyps: list[Polyp] = []
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
        self.polyps = [*self.polyps[-1:], Polyp(rng, self.colon, z)]
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
        # Three numbers put the polyp anywhere in the frame: how far ahead it should be, how far the gaze turns from the
        # lumen (0) to it (1), and how far the gaze misses it to one side.
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
        angle = max(attention * away, away - 0.65) if attention > 0 else attention  # look at it, or away
        direction = lumen * np.cos(angle) + aside * np.sin(angle)
        return _unit(direction + self.miss * np.cross(lumen, aside))

    def advance(self, shown: bool) -> View:
        """Move the camera to the next frame.

        Args:
            shown: whether the frame before showed a polyp; False before the first frame.
        """
        rng = self.rng
        self.shown += shown
        # End a glance early if fewer than half of the frames so far show a polyp.
        if self.left <= 0 or (self.task == "glance" and self.frames > 6 and self.shown < 0.5 * self.frames):
            self._begin_task()
        # Frames without the polyp count less, so that a watch waits for it, but not for ever.
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
        return View(self._position(), axes, axes[:2] @ (before - self.gaze), self.polyps, self.bubbles)
