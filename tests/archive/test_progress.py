"""The progress line."""

from __future__ import annotations

import pytest

from lsinet_monai.archive.progress import Progress


def test_the_line_goes_on_between_two_videos(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = [0.0]
    progress = Progress(total=10, finished=0, size=1000, clock=lambda: seconds[0])
    progress._bar.mininterval = 0.0
    for _ in range(3):
        seconds[0] += 10.0
        progress.done({"frames": 100, "bytes": 100})
    seconds[0] = 60.0
    progress.refresh(2)
    assert "3/10 videos, 5.0 frames/s, 0 failures, 02:20 left" in capsys.readouterr().err
    progress.close()


def test_the_line_says_videos_rate_failures_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = [0.0]
    progress = Progress(total=10, finished=4, size=1000, clock=lambda: seconds[0])
    assert progress.text().endswith(", ? left")
    seconds[0] = 60.0
    progress.failed()
    progress.done({"frames": 1200, "bytes": 200})
    assert progress.text() == "20.0 frames/s, 1 failure, 04:00 left"
    seconds[0] = 100.0
    progress.failed()
    progress.set_aside(800)
    progress.refresh(0)
    assert progress.text() == "12.0 frames/s, 2 failures, 00:00 left"
    progress.close()
    assert "6/10 videos, 12.0 frames/s, 2 failures, 00:00 left" in capsys.readouterr().err


def test_the_line_says_that_the_first_videos_are_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=10, finished=0, size=1000)
    progress._bar.mininterval = 0.0
    progress.refresh(0)
    assert "waiting for workers" in capsys.readouterr().err
    progress.refresh(2)
    assert "the first 2 under way" in capsys.readouterr().err
    progress.note("b has no model")
    assert "b has no model" in capsys.readouterr().err
    progress.close()
