from __future__ import annotations

from typing import Any

import pytest
from ignite.engine import Engine

from lsinet_monai.handlers import ClipProgress


def _piece(clip_id: str, index: list[int], frame_count: int, is_last: bool) -> dict[str, Any]:
    return {"clip_id": [clip_id], "index": index, "frame_count": frame_count, "is_last": [is_last]}


def _fail_at_bad(engine: Engine, batch: dict[str, Any]) -> None:
    if batch["clip_id"] == ["bad"]:
        raise RuntimeError("bad")


@pytest.fixture
def engine() -> Engine:
    engine = Engine(_fail_at_bad)
    ClipProgress().attach(engine)
    return engine


def test_each_clip_has_a_bar(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    # Frame 2 is damaged; the second clip is resumed after 3 of 4 frames.
    engine.run([_piece("a", [0, 1], 5, False), _piece("a", [3, 4], 5, True), _piece("b", [3], 4, True)])
    bars = capsys.readouterr().err.replace("\r", "\n")
    assert "a: 100%" in bars and "5/5 [" in bars
    assert "b:  75%" in bars and "b: 100%" in bars and "4/4 [" in bars
    assert "frame/s" in bars


def test_a_run_after_an_error_has_bars_of_its_own(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="bad"):
        engine.run([_piece("bad", [0], 9, False)])
    engine.state.max_epochs = None  # a new run, not the rest of this one
    engine.run([_piece("a", [0], 1, True)])
    assert "a: 100%" in capsys.readouterr().err
