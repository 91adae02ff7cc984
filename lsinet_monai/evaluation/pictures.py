"""Pictures of predictions and truth: the worst frames of a split, and a clip as a side-by-side GIF."""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lsinet_monai.data.frames import read_frame, resize_frame
from lsinet_monai.utils.files import atomic_write
from lsinet_monai.writers import TRUTH_COLOUR, outline, overlay

from .maps import read_method_map
from .run import Evaluation
from .truth import TruthClip

__all__ = ["FilmFrame", "worst_frames", "write_side_by_side"]

_FRAMES, _FRAMES_PER_CLIP = 5, 2
_FILM_WIDTH = 320
_GIF_HEIGHT, _GIF_FRAMES = 200, 150
_TITLE_HEIGHT = 22


@dataclass(frozen=True)
class FilmFrame:
    """A frame with truth and prediction outlined."""

    case: str
    name: str
    dice: float
    jpeg: bytes


def worst_frames(evaluation: Evaluation, method: str, split: str) -> list[FilmFrame]:
    """Draw the frames of a split with the lowest Dice: up to five, at most two of one clip.

    Among frames with the same Dice, such as missed polyps, one with more wrong pixels is worse. If a frame does not lie
    next to its mask, its map is drawn in its place.

    Args:
        evaluation: the results, with the places of maps, masks and frames.
        method: the method.
        split: a split with maps of the method.

    Returns:
        The frames, worst first: the truth outlined in green, the prediction in cyan.

    Raises:
        InputError: a file cannot be read.
    """
    candidates = sorted(
        (dice, minus_wrong, case, index)
        for case, result in evaluation.results[method][split].items()
        for dice, minus_wrong, index in result.worst_frames
    )
    chosen: list[tuple[float, str, int]] = []
    taken = Counter[str]()
    for dice, _, case, index in candidates:
        if taken[case] < _FRAMES_PER_CLIP and len(chosen) < _FRAMES:
            chosen.append((dice, case, index))
            taken[case] += 1
    return [
        FilmFrame(
            case, evaluation.clips[split, case].names[index], dice, _drawn(evaluation, method, split, case, index)
        )
        for dice, case, index in chosen
    ]


def _drawn(evaluation: Evaluation, method: str, split: str, case: str, index: int) -> bytes:
    clip, path = evaluation.clips[split, case], evaluation.maps[method][split, case][index]
    assert path is not None  # a scored frame has a map
    map_ = read_method_map(path, evaluation.map_rules[method])
    threshold = evaluation.results[method][split][case].clinical.threshold
    # Draw the outlines at the picture's size: resized outlines would be thick or broken.
    size = round(map_.shape[0] * _FILM_WIDTH / map_.shape[1]), _FILM_WIDTH
    picture = overlay(
        _frame(clip, index, map_, size), _resized(map_ > 255 * threshold, size), _truth(clip, index, size)
    )
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=88)
    return file.getvalue()


def _frame(clip: TruthClip, index: int, map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    path = clip.frames.get(clip.names[index])
    frame = np.repeat(map_[..., None], 3, axis=2) if path is None else read_frame(path)
    return resize_frame(frame, size)


def _truth(clip: TruthClip, index: int, size: tuple[int, int]) -> np.ndarray:
    return _resized(clip.mask(index), size)


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return resize_frame(mask.astype(np.uint8) * 255, size) > 127


def write_side_by_side(
    path: str | Path, evaluation: Evaluation, split: str, case: str, frames_per_second: float
) -> None:
    """Write a clip as an animated GIF: the truth, next to it every method with maps of the clip.

    The GIF lasts as long as the clip. If the clip has more than 150 frames, it shows every second, third, ... one.

    Args:
        path: the file.
        evaluation: the results, with the places of maps, masks and frames.
        split: the clip's split.
        case: the clip's case.
        frames_per_second: the clip's frame rate.

    Raises:
        InputError: a file cannot be read.
    """
    clip = evaluation.clips[split, case]
    methods = [method for method, maps in evaluation.maps.items() if (split, case) in maps]
    step = math.ceil(len(clip.names) / _GIF_FRAMES)
    pictures = (
        _side_by_side(evaluation, clip, methods, index).quantize(256, dither=Image.Dither.NONE)
        for index in range(0, len(clip.names), step)
    )
    # GIF counts in 10 ms: round the running sum, not each duration, to keep the speed. Browsers slow down below 20 ms.
    ends = [round(100 * step / frames_per_second * count) for count in range(-(-len(clip.names) // step) + 1)]
    milliseconds = [10 * max(2, end - begin) for begin, end in itertools.pairwise(ends)]
    with atomic_write(path) as temporary:
        next(pictures).save(
            temporary, format="GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0
        )


def _side_by_side(evaluation: Evaluation, clip: TruthClip, methods: list[str], index: int) -> Image.Image:
    maps = {method: evaluation.maps[method][clip.split, clip.case][index] for method in methods}
    mask = clip.mask(index)
    size = _GIF_HEIGHT, round(mask.shape[1] * _GIF_HEIGHT / mask.shape[0])
    frame, truth = _frame(clip, index, mask.astype(np.uint8) * 160, size), _truth(clip, index, size)
    line = outline(truth)[..., None]
    panels = [("truth", np.rint(frame * (1 - line) + line * np.array(TRUTH_COLOUR)).astype(np.uint8))]
    for method, path in maps.items():
        if path is None:
            panels.append((f"{method}: no map", frame))
            continue
        threshold = evaluation.results[method][clip.split][clip.case].clinical.threshold
        map_ = read_method_map(path, evaluation.map_rules[method])
        panels.append((method, overlay(frame, _resized(map_ > 255 * threshold, size), truth)))
    picture = Image.new("RGB", (size[1] * len(panels), size[0] + _TITLE_HEIGHT), (24, 26, 30))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for at, (title, panel) in enumerate(panels):
        picture.paste(Image.fromarray(panel), (at * size[1], _TITLE_HEIGHT))
        cut = (f"{title[:end]}..." for end in range(len(title) - 1, -1, -1))
        fitting = next((text for text in (title, *cut) if font.getlength(text) <= size[1] - 16), "")
        draw.text((at * size[1] + 8, _TITLE_HEIGHT // 2), fitting, (228, 230, 234), font, anchor="lm")
    return picture
