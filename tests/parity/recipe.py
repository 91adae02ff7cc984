"""Deterministic weights and clips for numerical parity with the released LSI-Net program.

The expected outputs next to this file were computed once by the authors' own
program (PyTorch, float32, CPU) from exactly the weights and the clips that this
recipe makes, so an implementation that loads the same weights and reads the same
clip must give the same numbers. NumPy is all that it needs.

    manifest  JSON: every parameter and buffer of the released program, name -> shape
    weights   weights(manifest, seed) -> {name: float32 array}
    clip      clip(frames, seed, size) -> uint8 array (frames, size, size, 3), RGB
    masks     masks(frames, seed, size) -> uint8 array (frames, size, size), 0 or 255
    tensor    tensor(clip) -> float32 array (frames, 3, size, size), ImageNet-normalised

Scalars are Python floats throughout, because NumPy 1 computes a float32 array times a NumPy scalar in float32 and
NumPy 2 in float64: a few pixels of the clips would round to another value, which is enough to change what is read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def load_manifest(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Read a manifest: parameter or buffer name -> shape."""
    return {name: tuple(shape) for name, shape in json.loads(Path(path).read_text()).items()}


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))


def weights(manifest: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Make a value for every name of the manifest; each depends on its name and the seed alone."""
    state = {}
    for name, shape in manifest.items():
        noise = _generator(seed, name).standard_normal(shape).astype(np.float32)
        if name.endswith("num_batches_tracked"):
            value = np.zeros(shape, np.int64)
        elif name.endswith("running_var"):
            value = np.exp(0.2 * noise)
        elif name.endswith("running_mean"):
            value = 0.1 * noise
        elif len(shape) == 1 and name.endswith("weight"):  # the scale of a normalisation
            value = 1 + 0.1 * noise
        elif len(shape) == 1:  # a bias
            value = 0.05 * noise
        else:
            fan_in = int(np.prod(shape[1:]))
            gain = 0.5 if ".conv_offset." in name else 1.0
            value = gain * noise / float(np.sqrt(fan_in))
        state[name] = np.asarray(value, np.int64 if name.endswith("num_batches_tracked") else np.float32)
    return state


def _lesion(frames: int, seed: int, size: int) -> np.ndarray:
    """A lesion that drifts: its signed distance in pixels, (frames, size, size), > 0 inside."""
    rng = np.random.Generator(np.random.PCG64(seed))
    start = rng.uniform(0.35, 0.65, 2) * size
    speed = rng.uniform(-0.012, 0.012, 2) * size
    radius = rng.uniform(0.12, 0.22) * size
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    out = np.empty((frames, size, size), np.float32)
    for t in range(frames):
        cy, cx = (start + speed * t).tolist()
        out[t] = float(radius * (1 + 0.1 * np.sin(0.3 * t))) - np.hypot(y - cy, x - cx)
    return out


def clip(frames: int, seed: int = 0, size: int = 352) -> np.ndarray:
    """A smooth pink scene that drifts, with a redder lesion and frame noise; uint8 RGB."""
    rng = np.random.Generator(np.random.PCG64(seed + 1))
    lesion = _lesion(frames, seed, size)
    waves = [
        values.tolist()
        for values in (rng.uniform(1, 6, (8, 2)), rng.uniform(0, 2 * np.pi, 8), rng.uniform(-0.2, 0.2, 8))
    ]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    base = np.array([170, 95, 80], np.float32)
    out = np.empty((frames, size, size, 3), np.uint8)
    for t in range(frames):
        scene = sum(
            np.sin(2 * np.pi * (fy * y + fx * x) + phase + drift * t)
            for (fy, fx), phase, drift in zip(*waves, strict=True)
        )
        frame = base + 8 * scene[..., None] + np.where(lesion[t] > 0, 35.0, 0.0)[..., None] * np.array([1, 0.3, 0.3])
        frame = frame + rng.normal(0, 3, frame.shape)
        out[t] = np.clip(np.rint(frame), 0, 255)
    return out


def masks(frames: int, seed: int = 0, size: int = 352) -> np.ndarray:
    """The lesion of `clip` with the same seed; uint8, 0 or 255."""
    return np.where(_lesion(frames, seed, size) > 0, 255, 0).astype(np.uint8)


def tensor(frames: np.ndarray) -> np.ndarray:
    """uint8 RGB (frames, H, W, 3) -> float32 (frames, 3, H, W), scaled to [0, 1] and ImageNet-normalised."""
    scaled = (frames.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def prediction(mask: np.ndarray, seed: int) -> np.ndarray:
    """A plausible, imperfect prediction map for a mask; uint8 (H, W) -> uint8 (H, W).

    The mask is shifted, softened by a box of 15 x 15 pixels, scaled and given noise.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    dy, dx = rng.integers(-12, 13, 2)
    soft = np.roll(np.asarray(mask, np.float64) / 255, (int(dy), int(dx)), (0, 1))
    padded = np.pad(soft, 7, mode="edge").cumsum(0).cumsum(1)
    padded = np.pad(padded, ((1, 0), (1, 0)))
    soft = (padded[15:, 15:] - padded[:-15, 15:] - padded[15:, :-15] + padded[:-15, :-15]) / 225
    noise = rng.normal(0, 0.02, soft.shape)
    return np.clip(np.rint(255 * (0.05 + 0.85 * soft + noise)), 0, 255).astype(np.uint8)
