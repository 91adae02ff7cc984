"""Save the state of a clip, so that a later run can resume it."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from lsinet_monai.handlers.clip_results_saver import ClipResultsSaver, settings_for
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.utils.config_values import check_numbers
from lsinet_monai.utils.files import read_torch_file, write_torch_file
from lsinet_monai.writers import unfinished_dir

__all__ = ["ClipStateSaver", "state_file"]

_STATE = "state.pt"


class ClipStateSaver:
    """Save the state of a clip from time to time, so that a later run can resume it, and load it in that run.

    When the first piece of a clip does not start at its first frame, the clip is resumed: the inferer gets the state
    that an earlier run saved.

    Args:
        results: the evaluator's handler that writes the results; attach it first.
        inferer: the evaluator's inferer.
        save_frames: the number of frames between saves, which happen at the end of a piece.

    Raises:
        InputError: ``save_frames`` is below 1.
    """

    def __init__(self, results: ClipResultsSaver, inferer: SequentialVideoInferer, save_frames: int = 100) -> None:
        check_numbers(save_frames=save_frames)
        self.results = results
        self.inferer = inferer
        self.save_frames = save_frames
        self._clip_id: str | None = None
        self._unsaved = 0

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator of :class:`lsinet_monai.data.ClipPieces`."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)

    def _started(self, engine: Engine) -> None:
        self._clip_id = None

    def _iteration_started(self, engine: Engine) -> None:
        batch = engine.state.batch
        (clip_id,), (frames_done,) = batch["clip_id"], batch["frame_index"]
        if clip_id == self._clip_id:
            return
        self._clip_id, self._unsaved = clip_id, 0
        if frames_done:
            state = read_torch_file(state_file(self.results.output_dir, clip_id), engine.state.device)
            self.inferer.load_clip(clip_id, state["clip"])

    def _iteration_completed(self, engine: Engine) -> None:
        batch = engine.state.batch
        if batch["is_last"][0]:
            self._clip_id = None
            return
        self._unsaved += len(batch["frame"])
        if self._unsaved >= self.save_frames:
            self._save(batch["clip_id"][0])
            self._unsaved = 0

    def _save(self, clip_id: str) -> None:
        writer = self.results.writer
        assert writer is not None
        writer.flush()
        state = {
            "frames": len(writer.indices),
            "next_index": writer.indices[-1] + 1,
            "clip": self.inferer.save_clip(clip_id),
            "settings": settings_for(self.results.clips[clip_id], self.results.settings),
        }
        write_torch_file(state, state_file(self.results.output_dir, clip_id))


def state_file(output_dir: str | Path, clip_id: str) -> Path:
    """Return the path of the file that holds the state of a clip whose results are not complete."""
    return unfinished_dir(output_dir, clip_id) / _STATE
