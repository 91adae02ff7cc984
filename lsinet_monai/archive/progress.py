"""The one line of an archive's run: videos, frames per second, failures, and the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

__all__ = ["Progress"]

_LOG_SECONDS = 30.0
"""In a log file, each state of the line is a line of its own."""


class Progress:
    """A progress bar over an archive's videos.

    Time is estimated by the bytes that are done, since a long video takes longer than a short one.

    Args:
        total: all videos.
        finished: those that need no more work, from earlier runs.
        size: the bytes of those that do.
        clock: returns seconds.
    """

    def __init__(self, total: int, finished: int, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._start = clock()
        self._frames = self._bytes = self._failures = 0
        self._bar = tqdm(
            total=total,
            initial=finished,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} videos{postfix}",
            postfix="waiting for workers",
            dynamic_ncols=True,
            miniters=0,  # otherwise the line stands still until as many videos end at once as before
            mininterval=0.5 if sys.stderr.isatty() else _LOG_SECONDS,
        )

    def done(self, row: dict[str, Any]) -> None:
        """Count a video that is done."""
        self._frames += row["frames"]
        self._end_one(row["bytes"])

    def set_aside(self, size: int) -> None:
        """Count a video that is not tried again."""
        self._end_one(size)

    def failed(self) -> None:
        """Count a failure."""
        self._failures += 1

    def note(self, text: str) -> None:
        """Print a line above this one."""
        self._bar.write(text, file=sys.stderr)

    def _end_one(self, size: int) -> None:
        self._bytes += size
        self._bar.set_postfix_str(self.text(), refresh=False)
        self._bar.update()

    def refresh(self, busy: int) -> None:
        """Show the line again, as time goes by. So many videos are under way."""
        if self._bytes or self._failures:
            self._bar.set_postfix_str(self.text(), refresh=False)
        elif busy:
            self._bar.set_postfix_str(f"the first {busy} under way", refresh=False)
        self._bar.update(0)

    def text(self) -> str:
        """The rate, the failures and the time that is left."""
        seconds = max(self._clock() - self._start, 1e-3)
        left = tqdm.format_interval(seconds * (self._size - self._bytes) / self._bytes) if self._bytes else "?"
        failures = f"{self._failures} failure{'' if self._failures == 1 else 's'}"
        return f"{self._frames / seconds:.1f} frames/s, {failures}, {left} left"

    def close(self) -> None:
        """End the line."""
        self._bar.close()
