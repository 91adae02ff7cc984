from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("psutil", reason="the label app's parts need the extra label")

from benchmarks import clip_annotation
from benchmarks.clicks import iou
from benchmarks.clip_annotation import (
    CLICK_THERE,
    CONFIRM,
    GO_THERE,
    MOST_CLICKS,
    NEXT_FRAME,
    RATE,
    UP_TO_THERE,
    Person,
    by_hand,
    few_corners,
    is_done,
    polygon_seconds,
    with_propagation,
    without_propagation,
)
from benchmarks.keystrokes import KEY, THINK
from lsinet_monai.formats.shapes import polygon_to_mask
from lsinet_monai.inferers.propagation import PropagatedFrame

Y, X = np.mgrid[:64, :80]
TRUTH = np.hypot((X - 40) / 20, (Y - 32) / 14) < 1
NOTHING = TRUTH & False
SPECK = NOTHING.copy()
SPECK[3, 3:5] = True


class Oracle(Person):
    """Draws the truth in a second."""

    def __init__(self, truths: list[np.ndarray]) -> None:
        super().__init__(None, truths, truths)  # type: ignore[arg-type]

    def correct(self, frame: int, mask: np.ndarray) -> np.ndarray:
        self.touched += 1
        self.seconds += 1
        return self.truths[frame]


class Session:
    """Carries the truth to two frames on either side."""

    def __init__(self, truths: list[np.ndarray]) -> None:
        self.truths = truths
        self.masks: dict[int, np.ndarray] = {}

    def add_mask(self, frame: int, mask: np.ndarray) -> None:
        self.masks[frame] = mask

    def propagate_from(self, frame: int) -> Iterator[PropagatedFrame]:
        for other in range(max(0, frame - 2), min(len(self.truths), frame + 3)):
            if other not in self.masks:
                yield PropagatedFrame(other, self.truths[other].astype(np.float32), 0.5, (frame,))


def test_a_frame_is_done_when_its_mask_is_right() -> None:
    assert is_done(TRUTH, TRUTH) and is_done(NOTHING, NOTHING) and is_done(NOTHING, SPECK)
    assert not is_done(NOTHING, TRUTH) and not is_done(TRUTH, NOTHING)


def test_a_polygon_has_as_few_corners_as_follow_the_mask() -> None:
    corners = few_corners(TRUTH)
    assert 5 <= len(corners) <= 13  # as careful people take
    assert iou(polygon_to_mask(corners, TRUTH.shape), TRUTH) >= 0.9


def test_by_hand_frames_without_a_polyp_cost_the_step_to_the_next() -> None:
    effort = by_hand([TRUTH, NOTHING, SPECK], lambda truth: 10.0)
    assert effort.frames_touched == 1
    assert effort.seconds == pytest.approx(3 * NEXT_FRAME + 10 + CONFIRM)


def test_with_propagation_the_middle_of_the_longest_run_is_corrected() -> None:
    truths = [TRUTH] * 12
    masks = [TRUTH] * 3 + [NOTHING] * 5 + [TRUTH, NOTHING, TRUTH, TRUTH]
    effort = with_propagation(Oracle(truths), masks, Session(truths))  # type: ignore[arg-type]
    assert effort.frames_touched == 2
    changed = 4 + 4  # on both sides of frames 5 and 9
    assert effort.seconds == pytest.approx(12 / RATE + 2 * (1 + GO_THERE + CONFIRM) + changed / RATE)


def test_wrong_frames_without_a_polyp_are_cleared_in_one_act() -> None:
    truths = [TRUTH] * 2 + [SPECK] * 5 + [TRUTH] * 2
    session = Session(truths)
    effort = with_propagation(Oracle(truths), [TRUTH] * 9, session)  # type: ignore[arg-type]
    assert effort.frames_touched == 1 and not session.masks
    assert effort.seconds == pytest.approx(9 / RATE + 1 + GO_THERE + CONFIRM + UP_TO_THERE)


def test_nothing_spreads_across_a_cleared_stretch() -> None:
    truths = [TRUTH] + [NOTHING] * 5 + [TRUTH] * 2
    session = Session([TRUTH] * 8)
    masks = [TRUTH] * 6 + [NOTHING, TRUTH]  # five frames are to be cleared, and one beside them is to be drawn
    effort = with_propagation(Oracle(truths), masks, session)  # type: ignore[arg-type]
    assert effort.frames_touched == 2 and list(session.masks) == [6]


def test_clicks_that_do_not_help_take_no_longer_than_a_polygon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        def __init__(self, *_: Any) -> None:
            pass

        def segment(self, *_: Any, **__: Any) -> np.ndarray:
            return NOTHING

    monkeypatch.setattr(clip_annotation, "PromptedFrame", Stubborn)
    model = SimpleNamespace(network=None, image_size=64)
    person = Person(model, [TRUTH], [TRUTH])  # type: ignore[arg-type]
    assert person.correct(0, NOTHING) is TRUTH
    polygon = THINK + KEY + polygon_seconds(TRUTH)
    assert person.clicks == int(polygon / CLICK_THERE) < MOST_CLICKS
    assert person.seconds == pytest.approx(polygon + person.clicks * CLICK_THERE)


def test_without_propagation_each_wrong_frame_is_corrected() -> None:
    masks = [TRUTH, NOTHING, NOTHING]
    effort = without_propagation(Oracle([TRUTH] * 3), masks)
    assert effort.frames_touched == 2
    assert effort.seconds == pytest.approx(3 * NEXT_FRAME + 2 * (1 + CONFIRM))
