from __future__ import annotations

import torch

from lsinet_monai.inferers.adjacent import ClearestFrame
from lsinet_monai.inferers.bad_frames import EMPTY_LOGIT
from lsinet_monai.inferers.clip_state import ClipReport, ClipState
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.smoothing import smooth
from lsinet_monai.networks import Features


def _frame(value: float) -> Features:
    keys = tuple(torch.full((2, 4, side, side), value) for side in (4, 2, 1))
    return Features(keys, keys, tuple(x.repeat(1, 4, 1, 1) for x in keys))


def test_a_report_counts_all_clips_of_a_batch() -> None:
    state = ClipState(MemoryBank(2))
    assert not state.report()
    logit = torch.zeros(2, 1, 8, 8)
    logit[1] = EMPTY_LOGIT
    for _ in range(3):
        state.count_left_empty(logit)
    for value in (0.0, float("nan")):
        state.memory.write(_frame(value).keys, _frame(value).values)
    assert state.report() == ClipReport(left_empty=3, skipped_writes=2)
    text = "3 frames left empty, because the network gave no numbers; 2 writes to memory skipped"
    assert str(state.report()) == text
    assert str(ClipReport(0, 1)) == "1 write to memory skipped"
    assert str(ClipReport(0, 0)) == "nothing"


def test_a_state_is_saved_and_loaded() -> None:
    state = ClipState(
        MemoryBank(2), 5, _frame(1.0), _frame(2.0), torch.tensor([True, False]), frame_shape=(2, 3, 64, 64)
    )
    state.count_left_empty(torch.full((2, 1, 8, 8), EMPTY_LOGIT))
    state.memory.write(_frame(float("nan")).keys, _frame(0.0).values)
    state.clearest = ClearestFrame.after(None, _frame(3.0))
    _, state.smoothed = smooth(None, torch.full((2, 1, 8, 8), 4.0), _frame(3.0), 0.4)
    other = ClipState(MemoryBank(2))
    other.load_state_dict(state.state_dict())
    assert other.clearest is not None and other.clearest.features[0].unique().tolist() == [3.0]
    assert other.smoothed is not None and other.smoothed.logit.unique().tolist() == [4.0]
    assert (other.frame_index, other.frame_shape, other.report()) == (5, (2, 3, 64, 64), state.report())
    assert other.waiting is not None and torch.equal(other.waiting.features[0], torch.full((2, 4, 4, 4), 2.0))
    assert other.waiting_usable is not None and other.waiting_usable.tolist() == [True, False]


def test_a_state_of_an_earlier_version_is_loaded() -> None:
    saved = ClipState(MemoryBank(2), 3).state_dict()
    for name in ("waiting", "waiting_usable", "left_empty", "frame_shape"):
        del saved[name]
    del saved["memory"]["skipped_writes"]
    state = ClipState(MemoryBank(2))
    state.load_state_dict(saved)
    assert state.frame_index == 3 and not state.report()
