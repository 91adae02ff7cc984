from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lsinet_monai.data import Clip
from tests.clip_runs import piece, run

LONG = [f"x/{index}.jpg" for index in range(9)]


def test_the_inferer_gets_the_state_of_a_resumed_clip(tmp_path: Path) -> None:
    run(tmp_path, piece("case1", 0, 2, False), save_frames=1)
    inferer = run(tmp_path, piece("case1", 2, 1, True), piece("a/b", 0, 1, True))
    assert inferer.loaded == [("case1", {"clip": "case1"})]
    summary = json.loads((tmp_path / "case1/summary.json").read_text())
    assert summary["counts"]["frames"] == 3


@pytest.mark.parametrize(("save_frames", "saved"), [(1, [2, 4, 6]), (3, [4]), (6, [6]), (7, [])])
def test_the_state_is_saved_every_so_many_frames(tmp_path: Path, save_frames: int, saved: list[int]) -> None:
    pieces = [piece("case1", start, 2, False, frame_count=9) for start in (0, 2, 4)]
    inferer = run(tmp_path, *pieces, save_frames=save_frames, clips=[Clip("case1", image=LONG)])
    assert inferer.saved == len(saved)
    state_file = tmp_path / "case1/.unfinished/state.pt"
    assert state_file.exists() == bool(saved)
    if saved:
        assert torch.load(state_file, weights_only=True)["frames"] == saved[-1]
