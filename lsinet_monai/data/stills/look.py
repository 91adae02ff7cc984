"""Light, colour and sharpness of a clip's frames."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance

from lsinet_monai.data.stills.camera_path import Drift
from lsinet_monai.data.stills.warp import smooth_noise

__all__ = ["Look"]

_LIGHT_CELLS = 3  # the light's brightness is set at so many places a side


class Look:
    """What one endoscope, light and recording make of a scene; drawn once per clip, with a slow change of exposure.

    Changes of gain, gamma, white balance, saturation and contrast, uneven light, a lower resolution, sharpening, noise
    and compression. Networks that learn without them fail on other hospitals' recordings.

    Args:
        rng: the source of randomness.
        size: height and width of the frames in pixels.
        strength: 1 draws from the whole range of real endoscopes; 0 changes nothing.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], strength: float = 1.0) -> None:
        s = strength
        self._gain = np.exp(s * rng.normal(0, 0.2))
        self._gamma = np.exp(s * rng.normal(0, 0.2))
        self._balance = np.exp(s * rng.normal(0, 0.1, 3))
        self._contrast = np.exp(s * rng.normal(0, 0.15))
        self._saturation = max(0.0, 1 + s * rng.normal(0, 0.3)) if rng.random() > 0.05 * s else 0.0
        self._hue = rng.permutation(3) if rng.random() < 0.02 * s else None
        self._exposure = Drift(rng, 1)
        light = smooth_noise(rng, _LIGHT_CELLS, size) - 0.5
        self._light = np.exp(s * rng.uniform(0, 1.2) * light)[..., None] if rng.random() < 0.5 else None
        self._resolution = rng.uniform(0.25, 0.8) if rng.random() < 0.4 * s else 1.0
        self._sharpness = rng.uniform(1, 3) if rng.random() < 0.3 * s else 1.0
        self._noise = rng.uniform(1, 8) if rng.random() < 0.3 * s else 0.0
        self._quality = int(rng.integers(25, 90)) if rng.random() < 0.3 * s else 0
        self._strength = s

    def __call__(self, frame: np.ndarray, time: float, rng: np.random.Generator) -> np.ndarray:
        """Change a frame.

        Args:
            frame: uint8, (H, W, 3), RGB.
            time: in frames.
            rng: draws what differs from frame to frame.

        Returns:
            uint8, (H, W, 3).
        """
        height, width = frame.shape[:2]
        image = Image.fromarray(frame)
        if self._resolution < 1:
            small = (max(8, round(width * self._resolution)), max(8, round(height * self._resolution)))
            image = image.resize(small, Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.BICUBIC)
        if self._saturation != 1:
            image = ImageEnhance.Color(image).enhance(self._saturation)
        if self._sharpness != 1:
            image = ImageEnhance.Sharpness(image).enhance(self._sharpness)
        frame = np.asarray(image)
        if self._hue is not None:
            frame = frame[..., self._hue]
        frame = self._expose(frame, time)
        if self._noise:
            grain = rng.standard_normal((height, width, 1), np.float32) * self._noise
            frame = np.clip(frame + grain, 0, 255).astype(np.uint8)
        if self._quality:
            file = BytesIO()
            Image.fromarray(frame).save(file, "JPEG", quality=self._quality)
            frame = np.asarray(Image.open(file))
        return frame

    def _expose(self, frame: np.ndarray, time: float) -> np.ndarray:
        """Apply gain, gamma, contrast and white balance by a table, and the light by a map."""
        gain = self._gain * np.exp(0.12 * self._strength * self._exposure(time)[0])
        levels = np.linspace(0, 1, 256)[:, None] * gain * self._balance
        levels = np.clip(levels, 0, 1) ** self._gamma
        mean = frame.mean() / 255
        levels = mean + (levels - mean) * self._contrast
        table = np.clip(255 * levels, 0, 255).astype(np.uint8)
        exposed = np.stack([table[frame[..., c], c] for c in range(3)], axis=-1)
        if self._light is None:
            return exposed
        return np.clip(exposed * self._light, 0, 255).astype(np.uint8)
