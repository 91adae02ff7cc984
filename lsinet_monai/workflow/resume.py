"""Find the clips that remain for a run that resumes an interrupted one, and where each continues."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lsinet_monai.data import Clip, ResumePoint
from lsinet_monai.errors import InputError
from lsinet_monai.handlers.clip_results_saver import settings_for
from lsinet_monai.handlers.clip_state_saver import state_file
from lsinet_monai.utils.config_values import as_bool
from lsinet_monai.utils.files import read_torch_file
from lsinet_monai.writers import forget_clip, frames_on_disk, read_summary

__all__ = ["remaining_clips"]

logger = logging.getLogger(__name__)


def remaining_clips(
    clips: Sequence[Clip], output_dir: str | Path, resume: bool, settings: Mapping[str, Any]
) -> list[Clip]:
    """Find the clips that remain for a run that resumes an interrupted one.

    Args:
        clips: all clips of the run.
        output_dir: the folder of all results.
        resume: whether to resume. If not, every clip starts again, and this function removes earlier results that a
            later run could take for results of this one.
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
    file = state_file(output_dir, clip.clip_id)
    if not file.exists():
        return clip
    try:
        state = read_torch_file(file)
    except InputError as error:
        logger.warning("%s: '%s' cannot be read (%s): the clip starts again", clip.clip_id, file, error)
        return clip
    _check_settings(clip, state["settings"], settings)
    if state["frames"] > frames_on_disk(output_dir, clip.clip_id):
        return clip
    logger.info("%s resumes after %d frames", clip.clip_id, state["frames"])
    return replace(clip, resume=ResumePoint(frames_done=state["frames"], next_index=state["next_index"]))


def _check_settings(clip: Clip, before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    # An earlier version did not record the model's hash.
    before = {"model_sha256": settings.get("model_sha256"), **_with_exports(before)}
    for name, value in settings_for(clip, settings).items():
        if (before.get(name) or None) != (value or None):  # an option that an earlier version lacks was off
            raise InputError(
                f"clip '{clip.clip_id}' was begun with {name}={before.get(name)!r}, and this run has {value!r}: give "
                "the same, or start again with --resume false --overwrite true"
            )


def _with_exports(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Join the keys of an earlier version, one for each export, to ``exports``."""
    found = dict(settings)
    wanted = [name for name in ("csv", "coco", "cvat") if found.pop(f"write_{name}", False)]
    stack = found.pop("write_stack", None)
    return {"exports": [*wanted, *([stack] if stack else [])], **found}
