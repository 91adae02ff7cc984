"""Progress bars for inference."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

__all__ = ["ClipProgress"]


class ClipProgress:
    """Show a progress bar for each clip: frames, frames per second, and the time that is left.

    Attach it to an evaluator of :class:`lsinet_monai.data.ClipPieces`.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._clip_id = ""  # not the bar's text, which a bar lacks that TQDM_DISABLE turns off

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(
            Events.STARTED, lambda engine: self._close()
        )  # the bar of an earlier run that ended in an error
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)

    def _iteration_started(self, engine: Engine) -> None:
        batch = engine.state.batch
        clip_id = batch["clip_id"][0]
        if self._bar is not None and self._clip_id != clip_id:
            self._close()  # the bar of a video that could not be read to its end
        if self._bar is None:
            self._clip_id = clip_id
            self._bar = tqdm(
                desc=clip_id,
                total=batch["frame_count"],
                initial=batch["index"][0],
                unit="frame",
            )

    def _iteration_completed(self, engine: Engine) -> None:
        batch = engine.state.batch
        self._bar.update(batch["index"][-1] + 1 - self._bar.n)
        if batch["is_last"][0]:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
