from __future__ import annotations

import numpy as np
import pytest
from lib.spreading import SpreadLesions, as_bytes, corrections_in_use, without_specks

SIZE = (64, 80)


def square(left: int, lesion: int = 1) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[20:40, left : left + 20] = lesion
    return labels


def test_the_lesions_keep_their_ids_in_both_directions():
    lesions = SpreadLesions(5, square(10, 7), 0.5, next_id=3)
    for frame in (4, 6, 3, 7):
        shift = abs(frame - 5)
        found = lesions(frame, square(10 + shift).astype(np.float32))
        assert found.dtype == np.uint8 and (found == square(10 + shift, 7)).all()


def test_new_lesions_get_ids_of_their_own():
    lesions = SpreadLesions(5, square(10, 7), 0.5, next_id=3)
    assert set(np.unique(lesions(4, (square(10) | square(50)).astype(np.float32)))) == {0, 7, 8}
    assert set(np.unique(lesions(6, (square(10) | square(50)).astype(np.float32)))) == {0, 7, 9}
    lesions.next_id = 20  # a person has added some meanwhile
    later = (square(10) | square(50)).astype(np.float32)
    later[50:60, 5:15] = 1
    assert set(np.unique(lesions(7, later))) == {0, 7, 9, 20}


def test_specks_are_left_out():
    mask = square(10) > 0
    mask[0, 0] = True
    assert (without_specks(mask) == (square(10) > 0)).all()


def test_ids_start_again_after_the_highest():
    assert as_bytes(np.array([[0, 1, 255, 256]])).tolist() == [[0, 1, 255, 1]]


@pytest.mark.parametrize(
    ("corrected", "reached", "expected"),
    [
        ({100}, range(70, 131), [100]),
        ({20, 45, 100, 131, 165}, range(70, 131), [45, 100, 131]),  # the others are out of reach of these frames
        ({45, 98, 131}, range(99, 131), [98, 131]),
        (set(range(60, 141)), range(100, 101), [*range(95, 105)]),  # as many as the memory takes, on either side
    ],
)
def test_the_corrections_in_use(corrected, reached, expected):
    assert corrections_in_use(corrected, 100, reached) == expected
