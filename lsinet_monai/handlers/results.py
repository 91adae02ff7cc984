"""What inference leaves on disk, and where a run that was interrupted goes on."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from lsinet_monai.data import clip_extent, open_video, read_frame
from lsinet_monai.data.sun_seg import Clip
from lsinet_monai.errors import InputError, describe_no_room, find_input_error
from lsinet_monai.formats import ClipInfo, check_stack, frame_file
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.utils.files import read_torch_file, write_torch_file
from lsinet_monai.workflow.checks import as_slice
from lsinet_monai.writers import (
    ClipWriter,
    check_exports,
    forget_clip,
    frames_on_disk,
    read_summary,
    unfinished_dir,
)

__all__ = ["WriteClipResults", "remaining_clips"]

_STATE = "state.pt"

logger = logging.getLogger(__name__)


def remaining_clips(
    clips: Sequence[Clip], output_dir: str | Path, resume: bool, settings: dict[str, Any]
) -> list[Clip]:
    """Find out what is left to do for a run that goes on where an earlier one was interrupted.

    Args:
        clips: all clips of the run.
        output_dir: the folder of all results.
        resume: whether to go on; if not, all clips are begun anew, and what would let a later run take earlier results
            for those of this one is removed.
        settings: what shapes the results, by the names of config keys: the clips of one folder have the same, so that
            they can be compared.

    Returns:
        The clips whose results are not complete, in order; one that is begun has ``start``: the number of its frames
        that are done, and the index of the next one.

    Raises:
        InputError: a clip was begun, or done, with other settings, or it is of another size now.
    """
    if not resume:
        for clip in clips:
            forget_clip(output_dir, clip["clip_id"])
        return list(clips)
    remaining = []
    for clip in clips:
        clip_id = clip["clip_id"]
        summary = read_summary(output_dir, clip_id)
        if summary is not None:
            _check_settings(clip_id, summary.get("settings", {}), settings | {"source": _source(clip)})
            continue
        state_file = unfinished_dir(output_dir, clip_id) / _STATE
        if state_file.exists():
            try:
                state = read_torch_file(state_file)
            except InputError as error:
                logger.warning("%s: '%s' cannot be read (%s): the clip begins anew", clip_id, state_file, error)
            else:
                _check_settings(clip_id, state["settings"], settings | {"source": _source(clip)})
                if state["frames"] <= frames_on_disk(output_dir, clip_id):
                    clip = clip | {"start": (state["frames"], state["next_index"])}
                    logger.info("%s goes on after %d frames", clip_id, state["frames"])
        remaining.append(clip)
    logger.info("%d of %d clips are complete", len(clips) - len(remaining), len(clips))
    return remaining


def _source(clip: Clip) -> str:
    """What tells a clip from another one of the same name."""
    if "image" in clip:
        return f"{len(clip['image'])} frames"
    return f"{os.path.getsize(clip['video']) if os.path.exists(clip['video']) else 0} bytes"


def _check_settings(clip_id: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            raise InputError(
                f"clip '{clip_id}' was begun with {name}={before.get(name)!r}, and this run has {value!r}: give the "
                "same, or begin anew with --resume false --overwrite true"
            )


def _check_stacks(clips: Sequence[Clip], frames: slice, channels: int) -> None:
    """Make sure, before a long run, that a stack has room for its frames of each clip."""
    for clip in clips:
        if extent := clip_extent(clip):
            height, width, count = extent
            if not range(count)[frames]:
                logger.warning(
                    "%s has %d frames, and none of those wanted for a stack: it gets none", clip["clip_id"], count
                )
                continue
            check_stack(ClipInfo(clip["clip_id"], (height, width), count), range(count)[frames], channels)


class WriteClipResults:
    """Write masks, maps, an overlay, a summary and exports for each clip, while its pieces are segmented.

    Attached to an evaluator that runs :class:`lsinet_monai.data.VideoPieces`. If the run is stopped, by whatever it is,
    what is on disk is whole, and a later run can go on: a piece that does not begin its clip is taken for the first
    one of such a run. Only where the run ends for bad input does it leave nothing to go on with, since the input will
    be another.

    Args:
        clips: the clips, as :func:`lsinet_monai.data.find_inputs` lists them.
        output_dir: the folder of all results.
        inferer: the evaluator's; it is brought to where an interrupted run was.
        settings: kept with that, and in the summaries; see :func:`remaining_clips`.
        threshold: probability above which a pixel belongs to the mask.
        write_masks: write masks.
        write_maps: write maps.
        write_overlay: write an overlay, an MP4 where PyAV is installed, else a GIF.
        show_score: show the frame score below the overlay's frame.
        write_csv: write a table of the frames.
        write_coco: write COCO JSON.
        write_cvat: write CVAT's XML for video.
        write_stack: "nifti" or "nrrd" for a stack of the masks.
        frames: the frames to put into a stack, "A:B", A up to, without, B; by default all.
        with_images: put the frames into a stack too.
        save_frames: after so many frames, at the next piece's end, write down what it takes to go on from there.

    Raises:
        InputError: the options do not go together, an extra that they need is not installed, or a stack of a clip would
            be too large.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        output_dir: str | Path,
        inferer: SequentialVideoInferer,
        settings: Mapping[str, Any] | None = None,
        threshold: float = 0.5,
        write_masks: bool = True,
        write_maps: bool = True,
        write_overlay: bool = True,
        show_score: bool = True,
        write_csv: bool = False,
        write_coco: bool = False,
        write_cvat: bool = False,
        write_stack: str | None = None,
        frames: str | None = None,
        with_images: bool = False,
        save_frames: int = 100,
    ) -> None:
        if write_stack not in (None, "nifti", "nrrd"):
            raise InputError(f"write_stack={write_stack!r} is neither nifti nor nrrd")
        if (frames is not None or with_images) and write_stack is None:
            raise InputError(
                "frames and with_images say what to put into a stack: give write_stack, nifti or nrrd, too"
            )
        wanted = {"csv": write_csv, "coco": write_coco, "cvat": write_cvat, write_stack: write_stack is not None}
        exports = [str(name) for name, is_wanted in wanted.items() if is_wanted]
        check_exports(exports)
        if exports and not write_masks:
            raise InputError(f"write_masks=false leaves nothing to make {', '.join(exports)} of: write the masks too")
        self.clips = {clip["clip_id"]: clip for clip in clips}
        self.output_dir = Path(output_dir)
        self.inferer = inferer
        self.settings = dict(settings or {})
        self.frames = as_slice(frames, "frames")
        if write_stack is not None:
            _check_stacks(clips, self.frames, channels=3 if with_images else 1)
        self.with_images = with_images
        self.save_frames = save_frames
        self.writer_options: dict[str, Any] = {
            "threshold": threshold,
            "write_masks": write_masks,
            "write_maps": write_maps,
            "overlay": ("mp4" if importlib.util.find_spec("av") else "gif") if write_overlay else None,
            "score_bar": show_score,
            "exports": exports,
        }
        self._writer: ClipWriter | None = None
        self._images: _Images | None = None
        self._unsaved = 0

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.COMPLETED, lambda engine: self._break_off())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._exception_raised)

    def _iteration_started(self, engine: Engine) -> None:
        batch = engine.state.batch
        if self._writer is not None and self._writer.clip_id != batch["clip_id"]:
            self._break_off()
        if self._writer is None:
            self._begin(batch, engine.state.device)

    def _break_off(self) -> None:
        """Leave a clip that ended before its last frame, as one can whose file is lost: a later run can go on."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.__exit__(InputError, InputError(f"clip '{writer.clip_id}' ended before its last frame"), None)

    def _iteration_completed(self, engine: Engine) -> None:
        assert self._writer is not None
        batch = engine.state.batch
        self._write(self._writer, batch, engine.state.output["pred"][0, 0])
        if batch["is_last"]:
            self._finish(batch)
            return
        self._unsaved += len(batch["frame"])
        if self._unsaved >= self.save_frames:
            self._save(self._writer, batch)

    def _exception_raised(self, engine: Engine, error: BaseException) -> None:
        no_room = describe_no_room(error)
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with suppress(Exception) if no_room else nullcontext():  # what is written to its end finds none either
                writer.__exit__(type(error), error, error.__traceback__)
            if find_input_error(error):
                forget_clip(self.output_dir, writer.clip_id)
        if no_room:
            raise InputError(f"{no_room}, then go on with --resume true") from error
        raise error

    def _begin(self, batch: Mapping[str, Any], device: torch.device) -> None:
        clip_id, done, fps = batch["clip_id"], batch["frame_index"], batch["fps"]
        if done:
            state_file = unfinished_dir(self.output_dir, clip_id) / _STATE
            saved = read_torch_file(state_file, device)
            self.inferer.load_clip(clip_id, saved["clip"])
        self._unsaved = 0
        self._images = _Images(self.clips[clip_id]) if self.with_images else None
        self._writer = ClipWriter(
            self.output_dir,
            clip_id,
            frame_seconds=1 / fps if fps else None,
            stack_frames=range(batch["frame_count"])[self.frames],
            images=self._images,
            frames_done=done,
            **self.writer_options,
        ).__enter__()

    def _write(self, writer: ClipWriter, batch: Mapping[str, Any], logits: Tensor) -> None:
        paths = self.clips[batch["clip_id"]].get("image")
        field = batch["field"]
        for frame, logit, index, seconds in zip(
            batch["frame"], logits.float(), batch["index"], batch["seconds"], strict=True
        ):
            frame = np.asarray(frame)
            size = field.crop(frame).shape[:2] if batch["is_cropped"] else frame.shape[:2]
            probability = logit_to_probability(logit, size).cpu().numpy()
            if field is not None:
                probability = field.restore(probability) if batch["is_cropped"] else field.blacken(probability)
            name = Path(paths[index]).name if paths else frame_file(index)
            writer.write(name, frame, probability, index, seconds)

    def _save(self, writer: ClipWriter, batch: Mapping[str, Any]) -> None:
        writer.flush()
        state = {
            "frames": len(writer.indices),
            "next_index": writer.indices[-1] + 1,
            "clip": self.inferer.save_clip(writer.clip_id),
            "settings": self.settings | {"source": _source(self.clips[writer.clip_id])},
        }
        write_torch_file(state, unfinished_dir(self.output_dir, writer.clip_id) / _STATE)
        self._unsaved = 0

    def _finish(self, batch: Mapping[str, Any]) -> None:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        if self.settings:
            writer.about["settings"] = self.settings | {"source": _source(self.clips[writer.clip_id])}
        if batch["reading"] is not None:
            skipped = sorted(set(range(batch["frame_count"])) - set(writer.indices))
            writer.about["reading"] = batch["reading"] | {"frames_read": len(writer.indices), "frames_skipped": skipped}
        with ExitStack() as closing_images:
            if self._images is not None:
                closing_images.callback(self._images.close)
            writer.__exit__(None, None, None)


class _Images:
    """The frames of a clip by their indices; a video is opened for the first one."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._open = ExitStack()
        self._video: Any = None

    def __call__(self, index: int) -> np.ndarray:
        if "image" in self.clip:
            return read_frame(self.clip["image"][index])
        if self._video is None:
            self._video = self._open.enter_context(open_video(self.clip["video"]))
        frame: np.ndarray = self._video[index]
        return frame

    def close(self) -> None:
        self._open.close()
