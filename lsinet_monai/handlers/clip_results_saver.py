"""Write the results of inference, clip by clip."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor

from lsinet_monai.data import Clip, clip_extent, open_video, read_frame
from lsinet_monai.errors import InputError, describe_no_room, find_input_error
from lsinet_monai.formats import ClipInfo, check_stack, frame_file
from lsinet_monai.inferers import SequentialVideoInferer, are_left_empty
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.utils.config_values import check_paths
from lsinet_monai.writers import ClipWriter, FrameMap, Outputs, fetch_map, forget_clip

__all__ = ["ClipResultsSaver", "settings_for"]

logger = logging.getLogger(__name__)


def settings_for(clip: Clip, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add the clip's length or file size to the settings of a run: another clip of the same name differs in it."""
    if clip.video is None:
        source = f"{len(clip.image)} frames"
    else:
        source = f"{os.path.getsize(clip.video) if os.path.exists(clip.video) else 0} bytes"
    return {**settings, "source": source}


class ClipResultsSaver:
    """Write masks, maps, an overlay, a summary and exports for each clip, while its pieces are segmented.

    Attach it to an evaluator that runs :class:`lsinet_monai.data.ClipPieces`. If the run stops for any reason, the
    files on disk are complete. With :class:`ClipStateSaver`, a later run resumes the clip, unless the run stopped
    because of bad input: then the input will change, and the results of the clip are removed.

    Args:
        clips: the clips, such as :func:`lsinet_monai.data.find_inputs` lists.
        output_dir: the folder of all results.
        outputs: which results to write.
        settings: recorded in the summaries; see :func:`remaining_clips`.
        inferer: the evaluator's inferer, whose report of each clip goes to its summary; None for no report.

    Attributes:
        writer: of the clip that is being segmented, or None.
        written: for each clip that this run completed, the numbers of its frames and of those with a polyp.

    Raises:
        InputError: a stack of a clip would be too large, or ``output_dir`` reads as a number.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        output_dir: str | Path,
        outputs: Outputs | None = None,
        settings: Mapping[str, Any] | None = None,
        inferer: SequentialVideoInferer | None = None,
    ) -> None:
        check_paths(output_dir=output_dir)
        self.clips = {clip.clip_id: clip for clip in clips}
        self.output_dir = Path(output_dir)
        self.outputs = Outputs() if outputs is None else outputs
        self.settings = dict(settings or {})
        self.inferer = inferer
        self.writer: ClipWriter | None = None
        self.written: dict[str, tuple[int, int]] = {}
        self._images: _Images | None = None
        if self.outputs.has_stack:
            _check_stacks(clips, self.outputs)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, lambda engine: self.written.clear())
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.COMPLETED, lambda engine: self._break_off())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._exception_raised)

    def _iteration_started(self, engine: Engine) -> None:
        batch = engine.state.batch
        if self.writer is not None and self.writer.clip_id != batch["clip_id"][0]:
            self._break_off()
        if self.writer is None:
            self._begin(batch)

    def _break_off(self) -> None:
        """Leave a clip that ended before its last frame, such as a video whose file was lost; it can be resumed."""
        if self.writer is not None:
            writer, self.writer = self.writer, None
            writer.__exit__(InputError, InputError(f"clip '{writer.clip_id}' ended before its last frame"), None)

    def _iteration_completed(self, engine: Engine) -> None:
        assert self.writer is not None
        batch = engine.state.batch
        self._write(self.writer, batch, engine.state.output["pred"][0, 0])
        if batch["is_last"][0]:
            self._finish(batch)

    def _exception_raised(self, engine: Engine, error: BaseException) -> None:
        no_room = describe_no_room(error)
        if self.writer is not None:
            writer, self.writer = self.writer, None
            with suppress(Exception) if no_room else nullcontext():  # files that are closed now do not find room either
                writer.__exit__(type(error), error, error.__traceback__)
            if find_input_error(error):
                forget_clip(self.output_dir, writer.clip_id)
        if no_room:
            raise InputError(f"{no_room}, then resume with --resume true") from error
        raise error

    def _begin(self, batch: Mapping[str, Any]) -> None:
        (clip_id,), (frames_done,) = batch["clip_id"], batch["frame_index"]
        self._images = _Images(self.clips[clip_id]) if self.outputs.with_images else None
        overlay: Literal["mp4", "gif"] = "mp4" if importlib.util.find_spec("av") else "gif"
        self.writer = ClipWriter(
            self.output_dir,
            clip_id,
            threshold=self.outputs.threshold,
            write_masks=self.outputs.write_masks,
            write_maps=self.outputs.write_maps,
            overlay=overlay if self.outputs.write_overlay else None,
            score_bar=self.outputs.show_score,
            frame_seconds=1 / batch["fps"] if batch["fps"] else None,
            frame_count=batch["frame_count"],
            exports=self.outputs.exports,
            stack_frames=self.outputs.stack_frames(batch["frame_count"]),
            images=self._images,
            frames_done=frames_done,
        ).__enter__()

    def _write(self, writer: ClipWriter, batch: Mapping[str, Any], logits: Tensor) -> None:
        paths = self.clips[writer.clip_id].image
        field = batch["field"]
        frames = [np.asarray(frame) for frame in batch["frame"]]

        def fetch(frame: np.ndarray, logit: Tensor) -> Callable[[], FrameMap]:
            size = field.crop(frame).shape[:2] if batch["is_cropped"] else frame.shape[:2]
            probability = logit_to_probability(logit, size)
            if field is not None:
                probability = field.restore(probability) if batch["is_cropped"] else field.blacken(probability)
            outputs = self.outputs
            return fetch_map(probability, outputs.threshold, outputs.write_maps, outputs.write_overlay)

        maps: Iterable[Callable[[], FrameMap]] = map(fetch, frames, logits)
        if logits.is_cuda:
            maps = list(maps)  # All are on their way before anything is waited for.
        left_empty = are_left_empty(logits).tolist()
        for frame, map_, index, seconds, is_empty in zip(
            frames, maps, batch["index"], batch["seconds"], left_empty, strict=True
        ):
            name = Path(paths[index]).name if paths else frame_file(index)
            writer.write(name, frame, map_(), index, seconds, is_empty)

    def _finish(self, batch: Mapping[str, Any]) -> None:
        assert self.writer is not None
        writer, self.writer = self.writer, None
        if self.settings:
            writer.about["settings"] = settings_for(self.clips[writer.clip_id], self.settings)
        if self.inferer is not None:
            report = self.inferer.report(writer.clip_id)
            writer.about["skipped_writes"] = report.skipped_writes
            writer.about["cuts"] = [writer.indices[place] for place in report.cuts]
        if batch["reading"] is not None:
            skipped = sorted(set(range(batch["frame_count"])) - set(writer.indices))
            writer.about["reading"] = batch["reading"] | {"frames_read": len(writer.indices), "frames_skipped": skipped}
        with ExitStack() as closing_images:
            if self._images is not None:
                closing_images.callback(self._images.close)
            writer.__exit__(None, None, None)
        self.written[writer.clip_id] = (len(writer.indices), writer.frames_with_polyp)


def _check_stacks(clips: Sequence[Clip], outputs: Outputs) -> None:
    """Check before a long run that a stack has room for its frames of each clip."""
    for clip in clips:
        if extent := clip_extent(clip):
            height, width, count = extent
            frames = outputs.stack_frames(count)
            if not frames:
                logger.warning(
                    "%s has %d frames, none of them in frames=%s: it gets no stack", clip.clip_id, count, outputs.frames
                )
                continue
            channels = 3 if outputs.with_images else 1
            check_stack(ClipInfo(clip.clip_id, (height, width), count), frames, channels)


class _Images:
    """The frames of a clip by their indices; a video is opened when its first frame is read."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._open = ExitStack()
        self._video: Any = None

    def __call__(self, index: int) -> np.ndarray:
        if self.clip.video is None:
            return read_frame(self.clip.image[index])
        if self._video is None:
            self._video = self._open.enter_context(open_video(self.clip.video))
        frame: np.ndarray = self._video[index]
        return frame

    def close(self) -> None:
        self._open.close()
