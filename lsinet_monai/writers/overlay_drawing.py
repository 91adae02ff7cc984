"""Pictures for people: masks outlined on frames, and the bar of scores below an overlay's frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["BAR_HEIGHT", "PREDICTION_COLOUR", "TRUTH_COLOUR", "outline", "overlay", "status_bar"]

Colour = tuple[int, int, int]

# Mucosa is red to yellow and highlights are white. Cyan and green stand out from all of them, and differ in lightness
# for colour-blind people.
PREDICTION_COLOUR: Colour = (0, 225, 255)
TRUTH_COLOUR: Colour = (110, 205, 0)

BAR_HEIGHT = 26

_TINT = 0.14
_BAR_BACKGROUND: Colour = (24, 26, 30)
_BAR_TRACK: Colour = (44, 47, 54)
_BAR_IDLE: Colour = (120, 126, 136)
_BAR_TEXT: Colour = (228, 230, 234)
_COLUMN = 3
_FONT_SIZE = 13


def outline(mask: np.ndarray) -> np.ndarray:
    """Draw the edge of a mask as a soft line, about two pixels wide, half inside and half outside.

    There is no line along the picture's border if the mask reaches it.

    Args:
        mask: bool, (H, W).

    Returns:
        The line's opacity, float32, (H, W), in [0, 1].
    """
    blurred = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    inside = np.asarray(blurred, np.float32) / 255
    # inside * (1 - inside) peaks on the edge itself; offset and gain cut off its long tails.
    return np.clip((4 * inside * (1 - inside) - 0.2) * 2, 0, 1)


def overlay(frame: np.ndarray, mask: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """Draw a mask on a frame: outlined and lightly tinted in cyan; the truth, if given, outlined in green.

    Args:
        frame: RGB, uint8, (H, W, 3).
        mask: the predicted mask, bool, (H, W).
        truth: the true mask, bool, (H, W).

    Returns:
        The picture, RGB, uint8, (H, W, 3).
    """
    drawn = mask if truth is None else mask | truth
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    result = frame.copy()
    if not rows.size:
        return result
    # Blend only near the masks: an outline reaches at most 8 pixels beyond them.
    box = tuple(slice(max(int(line[0]) - 8, 0), int(line[-1]) + 9) for line in (rows, columns))
    picture = _blend(frame[box].astype(np.float32), mask[box] * np.float32(_TINT), PREDICTION_COLOUR)
    if truth is not None:
        picture = _blend(picture, outline(truth[box]), TRUTH_COLOUR)
    picture = _blend(picture, outline(mask[box]), PREDICTION_COLOUR)
    result[box] = np.rint(picture)
    return result


def status_bar(width: int, frame_number: int, scores: Sequence[float], flags: Sequence[bool]) -> np.ndarray:
    """Draw the bar below a frame: its number, its score, and between them a timeline of the scores so far.

    Each frame is one column, as high as its score, and cyan if the frame has a polyp. When the timeline is full, the
    oldest columns move out on the left.

    Args:
        width: the bar's width in pixels, that of the frame above it.
        frame_number: the frame's index in the clip, from 0.
        scores: the frame scores so far, in [0, 1], at least one; this frame's is the last.
        flags: for the same frames, whether the frame has a polyp.

    Returns:
        The bar, RGB, uint8, (:data:`BAR_HEIGHT`, width, 3).
    """
    image = Image.new("RGB", (width, BAR_HEIGHT), _BAR_BACKGROUND)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_FONT_SIZE)
    margin, middle = 8, BAR_HEIGHT // 2
    number, score = f"frame {frame_number}", f"score {scores[-1]:.2f}"
    draw.text((margin, middle), number, _BAR_TEXT, font, anchor="lm")
    draw.text((width - margin, middle), score, _BAR_TEXT, font, anchor="rm")

    # The widest texts set the timeline's ends, so that it does not move as the numbers change.
    left = margin + int(font.getlength("frame 00000")) + margin
    right = width - margin - int(font.getlength("score 0.00")) - margin
    columns = (right - left) // _COLUMN
    if columns > 0:
        top, bottom = 4, BAR_HEIGHT - 5
        draw.rectangle((left, top, left + columns * _COLUMN - 1, bottom), _BAR_TRACK)
        for place, (value, flag) in enumerate(zip(scores[-columns:], flags[-columns:], strict=True)):
            x = left + place * _COLUMN
            y = bottom - round((bottom - top) * value)
            draw.rectangle((x, y, x + _COLUMN - 2, bottom), PREDICTION_COLOUR if flag else _BAR_IDLE)
    return np.asarray(image)


def _blend(picture: np.ndarray, opacity: np.ndarray, colour: Colour) -> np.ndarray:
    return picture + opacity[..., None] * (np.array(colour, np.float32) - picture)
