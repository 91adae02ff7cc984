from __future__ import annotations

import json

import numpy as np
import pytest

from lsinet_monai.masks import LesionTracker, join_tracks

SIZE = (40, 80)


def _box(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Rectangles, each from (top, left) to (bottom, right): bool, (H, W)."""
    mask = np.zeros(SIZE, bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def _look(mask: np.ndarray, channel: int) -> np.ndarray:
    """Features, (3, H, W), of which one channel shows a mask."""
    features = np.zeros((3, *SIZE), np.float32)
    features[channel][mask] = 1
    return features


def _track(masks: list[np.ndarray]) -> list[list[int]]:
    """The lesions in each frame, by their places from left to right."""
    tracker = LesionTracker()
    found = []
    for mask in masks:
        labels = tracker(mask)
        assert labels.dtype == np.int32 and ((labels > 0) == mask).all()
        columns = [np.unique(column[column > 0]).tolist() for column in labels.T]
        ids = [lesion for column in columns for lesion in column]
        found.append([lesion for place, lesion in enumerate(ids) if place == 0 or ids[place - 1] != lesion])
    return found


WHOLE, LEFT, RIGHT = _box((10, 10, 30, 40)), _box((10, 10, 30, 22)), _box((10, 26, 30, 40))
OTHER = _box((10, 44, 30, 74))
PATCH = _box((24, 36, 34, 50))  # hardly overlaps WHOLE
EMPTY = _box()

CLIPS = [
    ("nothing", [EMPTY, EMPTY], [[], []]),
    ("a small part next to a large one", [WHOLE | _box((20, 42, 26, 48))], [[1]]),
    ("a small part far away", [WHOLE | _box((20, 72, 26, 78))], [[1, 2]]),
    ("two of one size that are close stay two", [WHOLE | OTHER], [[1, 2]]),
    ("cut in two by an instrument", [WHOLE, LEFT | RIGHT, WHOLE], [[1], [1], [1]]),
    ("two whose masks touch for a while", [WHOLE | OTHER] * 3 + [_box((10, 10, 30, 74))] * 9, [[1, 2]] * 12),
    ("two whose masks touch from the start", [_box((10, 10, 30, 74))] * 5, [[1]] * 5),
    ("without features, no lesion is back", [WHOLE, *[EMPTY] * 4, WHOLE], [[1], [], [], [], [], [2]]),
]


@pytest.mark.parametrize(("_", "masks", "expected"), CLIPS, ids=[case[0] for case in CLIPS])
def test_lesions(_: str, masks: list[np.ndarray], expected: list[list[int]]) -> None:
    assert _track(masks) == expected


def test_a_divided_mask_has_its_border_between_the_lesions() -> None:
    tracker = LesionTracker()
    for _ in range(3):
        tracker(WHOLE | OTHER)
    labels = tracker(_box((10, 10, 30, 74)))
    assert (labels[10:30, 10:41] == 1).all() and (labels[10:30, 43:74] == 2).all()


BACK = [
    ("at its place", WHOLE, 0, 50, True),
    ("elsewhere", OTHER, 0, 10, True),
    ("with other features", WHOLE, 1, 10, False),
    ("so soon that it overlaps itself", WHOLE, 0, 2, True),
    ("as soon at its place, with other features", WHOLE, 1, 2, True),
    ("as soon and hardly overlapping, with other features", PATCH, 1, 2, False),
    ("after too long", WHOLE, 0, 80, False),
]


@pytest.mark.parametrize(("_", "mask", "channel", "absence", "same"), BACK, ids=[case[0] for case in BACK])
def test_a_lesion_that_is_back(_: str, mask: np.ndarray, channel: int, absence: int, same: bool) -> None:
    tracker = LesionTracker()
    for _ in range(5):
        tracker(WHOLE, _look(WHOLE, 0))
    for _ in range(absence):
        tracker(EMPTY, _look(EMPTY, 0))
    assert tracker(mask, _look(mask, channel)).max() == (1 if same else 2)


def _blink(tracker: LesionTracker, frame: int) -> np.ndarray:
    """Two lesions, of which one is away for some frames."""
    mask = WHOLE if 10 <= frame < 20 else WHOLE | OTHER
    return tracker(mask, _look(WHOLE, 0) + _look(mask & OTHER, 1))


@pytest.mark.parametrize(
    ("mask", "channel", "frames", "expected"),
    [(WHOLE, 1, 5, 1), (PATCH, 0, 5, 1), (PATCH, 1, 5, 2), (PATCH, 1, 2, 1), (PATCH, None, 5, 1)],
    ids=["in its place", "alike", "another lesion", "not known for long", "without features"],
)
def test_what_hardly_overlaps_a_lesion(mask: np.ndarray, channel: int | None, frames: int, expected: int) -> None:
    tracker = LesionTracker()
    for _ in range(frames):
        tracker(WHOLE, _look(WHOLE, 0))
    labels = tracker(mask, None if channel is None else _look(mask, channel))
    assert labels[mask].tolist() == [expected] * mask.sum()


def test_a_frame_without_finite_features_keeps_its_lesion() -> None:
    tracker = LesionTracker()
    for _ in range(5):
        tracker(WHOLE, _look(WHOLE, 0))
    assert tracker(PATCH, np.full((3, *SIZE), np.nan, np.float32)).max() == 1
    for _ in range(8):
        tracker(EMPTY, _look(EMPTY, 0))
    assert tracker(WHOLE, _look(WHOLE, 0)).max() == 1  # it is known when it is back,
    assert tracker(PATCH, _look(PATCH, 1)).max() == 2  # and told from others


@pytest.mark.parametrize(("channel", "id_back"), [(1, 2), (0, 1)], ids=["like the lesion", "like what is next to it"])
def test_a_lesion_that_is_back_next_to_a_larger_one(channel: int, id_back: int) -> None:
    tracker = LesionTracker()
    small = _box((15, 44, 25, 52))
    features = _look(WHOLE, 0) + _look(small, 1)
    apart = _box((15, 64, 25, 72))
    tracker.follow(WHOLE + 2 * apart.astype(np.uint8), _look(WHOLE, 0) + _look(apart, 1))
    tracker.follow(WHOLE + 2 * apart.astype(np.uint8), _look(WHOLE, 0) + _look(apart, 1))
    for _ in range(10):
        tracker(WHOLE, features)
    labels = tracker(WHOLE | small, _look(WHOLE, 0) + _look(small, channel))
    assert labels[small].tolist() == [id_back] * small.sum() and (labels[WHOLE] == 1).all()


def test_resumes_from_its_state_and_the_last_label_images() -> None:
    whole, first = LesionTracker(), LesionTracker()
    expected = [_blink(whole, frame) for frame in range(25)]
    for frame in range(15):
        _blink(first, frame)
    again = LesionTracker()
    for labels in expected[11:15]:
        again.follow(labels.astype(np.uint8))
    state = first.state_dict()
    assert json.dumps(state)  # numbers and lists
    again.load_state_dict(state)
    np.testing.assert_array_equal([_blink(again, frame) for frame in range(15, 25)], expected[15:])


def test_continues_from_a_persons_lesions() -> None:
    tracker = LesionTracker()
    tracker.follow(WHOLE * np.uint8(7), _look(WHOLE, 0))
    for _ in range(10):
        tracker(EMPTY, _look(EMPTY, 0))
    assert tracker(WHOLE, _look(WHOLE, 0)).max() == 7
    assert tracker(WHOLE | OTHER, _look(WHOLE, 0) + _look(OTHER, 1)).max() == 8


def _tracked(*frames: tuple[np.ndarray, int]) -> LesionTracker:
    """A tracker that saw masks, each with the channel in which its features show."""
    tracker = LesionTracker(max_absence=0)  # so that nothing is found to be back yet
    for mask, channel in frames:
        tracker(mask, _look(mask, channel))
    return tracker


def test_joins_tracks_that_are_one_lesion() -> None:
    gap = [(EMPTY, 0)] * 6
    tracker = _tracked((WHOLE, 0), *gap, (WHOLE, 1), *gap, *[(WHOLE, 0)] * 3, *gap, (WHOLE, 0))
    assert tracker.next_id == 5
    assert join_tracks(tracker.tracks) == {1: 3, 4: 3}
    assert join_tracks(tracker.tracks, max_absence=5) == {}


def test_does_not_join_what_one_frame_shows() -> None:
    tracker = LesionTracker()
    for _ in range(3):
        tracker(WHOLE | OTHER, _look(WHOLE | OTHER, 0))
    assert join_tracks(tracker.tracks) == {}


@pytest.mark.parametrize(("stray", "expected"), [(3, {1: 2}), (5, {})])
def test_a_stray_part_does_not_keep_tracks_of_one_lesion_apart(stray: int, expected: dict[int, int]) -> None:
    tracker, far = LesionTracker(), _box((2, 70, 6, 74)).astype(np.uint8)
    first = [WHOLE.astype(np.uint8)] * 6 + [EMPTY.astype(np.uint8)] * 4
    again = [2 * WHOLE.astype(np.uint8) + far * (0 < frame <= stray) for frame in range(10)]
    for labels in first + again:
        tracker.follow(labels, _look(WHOLE, 0) + _look(far > 0, 0))
    assert join_tracks(tracker.tracks) == expected


def test_a_stray_part_in_between_does_not_hide_how_well_tracks_fit() -> None:
    tracker, here, far = LesionTracker(), _box((2, 2, 6, 6)), _box((34, 74, 38, 78))
    for mask, lesion in [*[(here, 1)] * 5, (EMPTY, 0), (far, 1), (EMPTY, 0), *[(here, 2)] * 7]:
        tracker.follow(mask * np.uint8(lesion), _look(mask, 0))
    assert join_tracks(tracker.tracks) == {1: 2}


def test_joins_in_a_chain_end_at_one_lesion() -> None:
    gap = [(EMPTY, 0)] * 60
    tracker = _tracked((WHOLE, 0), *gap, *[(WHOLE, 0)] * 2, *gap, *[(WHOLE, 0)] * 3)
    assert join_tracks(tracker.tracks) == {1: 3, 2: 3}
