"""Save where a clip stands, and find the clips that remain for a run that resumes an interrupted one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from lsinet_monai.data import Clip, ResumePoint
from lsinet_monai.errors import InputError
from lsinet_monai.handlers.clip_results_saver import ClipResultsSaver, settings_for
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.utils.files import read_torch_file, write_torch_file
from lsinet_monai.utils.options import as_bool, check_numbers
from lsinet_monai.writers import forget_clip, frames_on_disk, read_summary, unfinished_dir

__all__ = ["ClipStateSaver", "remaining_clips"]

_STATE = "state.pt"

logger = logging.getLogger(__name__)


class ClipStateSaver:
    """Save the state of a clip from time to time, so that a later run can resume it, and load it in that run.

    When the first piece of a clip does not start at its first frame, the clip is resumed: the inferer gets the state
    that an earlier run saved.

    Args:
        results: the evaluator's handler that writes the results; attach it first.
        inferer: the evaluator's inferer.
        save_frames: save after so many frames, at the end of a piece.

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
            state = read_torch_file(_state_file(self.results.output_dir, clip_id), engine.state.device)
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
        write_torch_file(state, _state_file(self.results.output_dir, clip_id))


def remaining_clips(
    clips: Sequence[Clip], output_dir: str | Path, resume: bool, settings: Mapping[str, Any]
) -> list[Clip]:
    """Find the clips that remain for a run that resumes an interrupted one.

    Args:
        clips: all clips of the run.
        output_dir: the folder of all results.
        resume: whether to resume. If not, every clip starts again, and whatever a later run could take for results of
            this one is removed.
        settings: the config keys that shape the results, with their values. All clips of a folder need the same, so
            that they can be compared.

    Returns:
        The clips whose results are not complete, in order; ``resume`` of a clip says where it continues.

    Raises:
        InputError: a clip was begun or completed with other settings, or its length or file has changed.
    """
    if not as_bool(resume, "resume"):
        for clip in clips:
            forget_clip(output_dir, clip.clip_id)
        return list(clips)
    remaining = []
    for clip in clips:
        summary = read_summary(output_dir, clip.clip_id)
        if summary is not None:
            _check_settings(clip, summary.get("settings", {}), settings)
            continue
        remaining.append(_find_resume_point(clip, output_dir, settings))
    logger.info("%d of %d clips are complete", len(clips) - len(remaining), len(clips))
    return remaining


def _find_resume_point(clip: Clip, output_dir: str | Path, settings: Mapping[str, Any]) -> Clip:
    state_file = _state_file(output_dir, clip.clip_id)
    if not state_file.exists():
        return clip
    try:
        state = read_torch_file(state_file)
    except InputError as error:
        logger.warning("%s: '%s' cannot be read (%s): the clip starts again", clip.clip_id, state_file, error)
        return clip
    _check_settings(clip, state["settings"], settings)
    if state["frames"] > frames_on_disk(output_dir, clip.clip_id):
        return clip
    logger.info("%s resumes after %d frames", clip.clip_id, state["frames"])
    return replace(clip, resume=ResumePoint(frames_done=state["frames"], next_index=state["next_index"]))


def _state_file(output_dir: str | Path, clip_id: str) -> Path:
    return unfinished_dir(output_dir, clip_id) / _STATE


def _check_settings(clip: Clip, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    # An earlier version did not record the model's hash.
    before = {"model_sha256": settings.get("model_sha256"), **_with_exports(before)}
    for name, value in settings_for(clip, settings).items():
        if (before.get(name) or None) != (value or None):  # what an earlier version does not have was off
            raise InputError(
                f"clip '{clip.clip_id}' was begun with {name}={before.get(name)!r}, and this run has {value!r}: give "
                "the same, or start again with --resume false --overwrite true"
            )


def _with_exports(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings of a run from before the key ``exports``, which had one key for each export."""
    found = dict(settings)
    wanted = [name for name in ("csv", "coco", "cvat") if found.pop(f"write_{name}", False)]
    stack = found.pop("write_stack", None)
    return {"exports": [*wanted, *([stack] if stack else [])], **found}
