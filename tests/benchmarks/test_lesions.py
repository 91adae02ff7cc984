from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("psutil", reason="the label app's parts need the extra label")

from benchmarks.lesions import score

SIZE = (20, 40)
LEFT, RIGHT = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
LEFT[5:15, 5:15] = True
RIGHT[5:15, 25:35] = True
SLIVER = np.zeros(SIZE, bool)
SLIVER[5:15, 5:7] = True
TRUTH = LEFT + 2 * RIGHT.astype(np.int64)


@pytest.mark.parametrize(
    ("frames", "switches", "merges", "slivers"),
    [
        ([LEFT + 2 * RIGHT, LEFT + 2 * RIGHT], 0, 0, 0),
        ([LEFT + 0, 3 * LEFT, LEFT + 0], 2, 0, 2),
        ([LEFT + 0, 3 * SLIVER, LEFT + 0], 0, 0, 2),  # a sliver is not the polyp
        ([LEFT + 0, 0 * LEFT, 3 * LEFT], 1, 0, 1),  # the last frame in which it was a lesion counts
        ([LEFT + 0, RIGHT + 0], 0, 1, 0),
    ],
    ids=["two polyps", "another id", "a sliver", "after a gap", "one id for both"],
)
def test_switches_and_merges(frames: list[np.ndarray], switches: int, merges: int, slivers: int) -> None:
    counts = score(np.stack(frames).astype(np.int64), np.stack(len(frames) * [TRUTH]))
    assert (counts["switches"], counts["merges"], counts["slivers too"]) == (switches, merges, slivers)
