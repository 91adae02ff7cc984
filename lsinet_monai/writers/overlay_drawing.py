"""Pictures for people: masks outlined on frames, and the bar of scores below an overlay's frames."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["BAR_HEIGHT", "PREDICTION_COLOUR", "TRUTH_COLOUR", "StatusBar", "outline", "overlay"]

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
_MARGIN = 8
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


class StatusBar:
    """The bar below a clip's frames: the frame's number, its score, and between them a timeline of the scores so far.

    The timeline is as long as the clip, and fills up while the clip plays. Each frame is as high as its score, and cyan
    if it has a polyp. Frames that share a column of pixels show their highest score, and cyan if one of them has a
    polyp.

    Args:
        width: the bar's width in pixels, that of the frame above it.
        frame_count: the number of the clip's frames. If it is unknown, the timeline is squeezed whenever it is full.
    """

    def __init__(self, width: int, frame_count: int | None = None) -> None:
        self.width = width
        self._font = ImageFont.load_default(_FONT_SIZE)
        # The widest texts set the timeline's ends, so that it does not move as the numbers change.
        self._left = 2 * _MARGIN + int(self._font.getlength("frame 00000"))
        right = width - 2 * _MARGIN - int(self._font.getlength("score 0.00"))
        columns = max(0, right - self._left)
        self._frame_count = max(1, frame_count or columns)
        self._scores = np.full(columns, -1.0)  # of each column; -1 before its first frame
        self._flags = np.zeros(columns, bool)
        self._texts = ("", "")

    def add(self, index: int, score: float, has_polyp: bool) -> None:
        """Add the next frame.

        Args:
            index: its index in the clip, from 0.
            score: in [0, 1].
            has_polyp: whether it has a polyp.
        """
        self._texts = (f"frame {index}", f"score {score:.2f}")
        while index >= self._frame_count:
            self._squeeze()
        columns = len(self._scores)
        first = index * columns // self._frame_count
        frame = slice(first, max(first + 1, (index + 1) * columns // self._frame_count))
        self._scores[frame] = np.maximum(self._scores[frame], score)
        self._flags[frame] |= has_polyp

    def _squeeze(self) -> None:
        """Make room for as many frames again: join the columns in pairs."""
        for values, empty in ((self._scores, -1), (self._flags, False)):
            pairs = np.append(values, [empty] * (len(values) % 2)).reshape(-1, 2).max(axis=1)
            values[: len(pairs)], values[len(pairs) :] = pairs, empty
        self._frame_count *= 2

    def draw(self) -> np.ndarray:
        """Draw the bar of the frame that was added last: RGB, uint8, (:data:`BAR_HEIGHT`, width, 3)."""
        image = Image.new("RGB", (self.width, BAR_HEIGHT), _BAR_BACKGROUND)
        draw = ImageDraw.Draw(image)
        number, score = self._texts
        draw.text((_MARGIN, BAR_HEIGHT // 2), number, _BAR_TEXT, self._font, anchor="lm")
        draw.text((self.width - _MARGIN, BAR_HEIGHT // 2), score, _BAR_TEXT, self._font, anchor="rm")
        picture = np.array(image)

        top, bottom = 4, BAR_HEIGHT - 4
        timeline = picture[top:bottom, self._left : self._left + len(self._scores)]
        timeline[:] = _BAR_TRACK
        heights = np.where(self._scores < 0, 0, 1 + np.rint((bottom - top - 1) * self._scores))
        is_drawn = np.arange(bottom - top, 0, -1)[:, None] <= heights
        timeline[is_drawn & self._flags] = PREDICTION_COLOUR
        timeline[is_drawn & ~self._flags] = _BAR_IDLE
        return picture


def _blend(picture: np.ndarray, opacity: np.ndarray, colour: Colour) -> np.ndarray:
    return picture + opacity[..., None] * (np.array(colour, np.float32) - picture)
