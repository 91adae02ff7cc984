"""Writes a clip's results while the clip is being segmented: masks, maps, overlay, exports and summary."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, check_stack, write_png
from lsinet_monai.masks import has_polyp
from lsinet_monai.utils.cores import available_cores
from lsinet_monai.writers.clip_overlay import ClipOverlay
from lsinet_monai.writers.exports import check_exports, write_exports
from lsinet_monai.writers.fetched_maps import FrameMap, measure_map
from lsinet_monai.writers.frame_records import FrameRecord, RecordFile
from lsinet_monai.writers.summary import SUMMARY_FILE, summarise, write_summary
from lsinet_monai.writers.unfinished import UnfinishedRun

__all__ = ["ClipWriter"]

_MOST_THREADS = 8


class ClipWriter:
    """Write one clip's results while it is being segmented: a context manager, one :meth:`write` per frame.

    =============================================  =================================================================
    ``OUTPUT_DIR/masks/<clip_id>/<frame>.png``     8-bit, 255 where the probability is above the threshold, else 0
    ``OUTPUT_DIR/maps/<clip_id>/<frame>.png``      8-bit, the probability times 255, rounded, not stretched
    ``OUTPUT_DIR/overlays/<clip_id>.gif``          the frames with the mask outlined, for people; or ``.mp4``
    ``OUTPUT_DIR/<clip_id>/``                      the requested exports: see :func:`write_exports`
    ``OUTPUT_DIR/<clip_id>/summary.json``          the frames' scores and the intervals with a polyp
    =============================================  =================================================================

    ``<frame>`` is the frame's name without its extension. Each file appears complete or not at all. Masks and maps are
    encoded in threads, one frame per thread at most, while the next frames are segmented, and are there after
    :meth:`flush`; the overlay, the exports and finally the summary when the context ends. If it ends with an exception,
    only the masks and maps written so far stay. Memory holds a few numbers per frame.

    With ``frames_done``, a stopped run can resume from its last :meth:`flush`, and ends with the same results as a run
    without a stop. Until the summary is written, ``OUTPUT_DIR/<clip_id>/.unfinished`` keeps the files that it needs::

        with ClipWriter(output_dir, clip_id, frames_done=done) as writer:  # done: from the last saved state
            for ...:
                writer.write(...)
                if it is time to save:
                    writer.flush()
                    save the run's own state, with the number of frames written

    Args:
        output_dir: the folder of all results.
        clip_id: the clip's name, a relative path that may have several parts (``case1/part2``).
        threshold: a pixel belongs to the mask if its probability is above this, in [0, 1].
        min_area: a frame has a polyp if its mask covers more than this fraction of the frame, in [0, 1].
        write_masks: write masks.
        write_maps: write maps.
        overlay: "gif", "mp4" (with the extra ``video``), or None for no overlay.
        score_bar: draw a bar with the frame scores below the overlay's frames.
        frame_seconds: the time between frames. It sets the overlay's speed (0.1 s if None), and the frames' times
            if :meth:`write` gets none.
        frame_count: the number of the clip's frames, the length of the timeline in the score bar; None if unknown.
        exports: names of :data:`EXPORTS`. They need the masks; their scores need the maps.
        stack_frames: the frames to export as a stack; by default all.
        images: returns the frame with an index, RGB, uint8, (H, W, 3), to export a stack of frames next to the stack of
            masks; None for masks only.
        frames_done: for a run that can resume, the number of frames already written: 0 at first, at most
            :func:`frames_on_disk`. None for a run that cannot.

    Attributes:
        about: further entries of the summary, by key, such as how the clip was read and segmented.

    Raises:
        InputError: ``clip_id`` leads out of ``output_dir``; an export is unknown or lacks the masks; PyAV is missing
            for an MP4; or the stopped run did not leave ``frames_done`` frames.
    """

    def __init__(
        self,
        output_dir: str | Path,
        clip_id: str,
        threshold: float = 0.5,
        min_area: float = 0.001,
        write_masks: bool = True,
        write_maps: bool = True,
        overlay: Literal["gif", "mp4"] | None = "gif",
        score_bar: bool = True,
        frame_seconds: float | None = None,
        frame_count: int | None = None,
        exports: Sequence[str] = (),
        stack_frames: range | None = None,
        images: Callable[[int], np.ndarray] | None = None,
        frames_done: int | None = None,
    ) -> None:
        relative = PurePosixPath(clip_id)
        if not relative.parts or ".." in relative.parts or relative.is_absolute():
            raise InputError(f"clip_id '{clip_id}' does not name a place inside '{output_dir}': use a relative path")
        check_exports(exports)
        if exports and not write_masks:
            raise InputError(f"exports {', '.join(exports)} are made from the masks: write the masks too")
        self.output_dir = Path(output_dir)
        self.clip_id = str(relative)
        self.threshold = threshold
        self.min_area = min_area
        self.write_masks = write_masks
        self.write_maps = write_maps
        self.frame_seconds = frame_seconds
        self.exports = list(exports)
        self.stack_frames = stack_frames
        self.images = images
        self.frames_done = frames_done
        self.about: dict[str, Any] = {}

        self._run = UnfinishedRun(self.output_dir, self.clip_id)
        self._overlay = (
            ClipOverlay(overlay, self._run, threshold, score_bar, frame_seconds, frame_count)
            if overlay is not None
            else None
        )
        (self.output_dir / self.clip_id / SUMMARY_FILE).unlink(missing_ok=True)
        self._records = self._run.rewind(frames_done or 0, needs_overlay=self._overlay is not None)
        self._stems = {record.stem for record in self._records}
        self._record_file = RecordFile(self._run.record_file, self._records)
        self._most_pending = min(max(2, available_cores()), _MOST_THREADS)
        self._threads = ThreadPoolExecutor(self._most_pending, "write_png")
        self._pending: deque[tuple[FrameRecord, list[Future[None]]]] = deque()

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_written = False
        try:
            self.flush()
            is_written = error is None
        finally:
            self._threads.shutdown()
            self._record_file.close()
            if not is_written and self.frames_done is None:
                self._run.remove()
        if is_written:
            self._finish()
            self._run.remove()

    def _finish(self) -> None:
        if self._overlay:
            self._overlay.finish(self.output_dir / "overlays" / self.clip_id)
        if self.exports:
            fps = 1 / self.frame_seconds if self.frame_seconds else None
            write_exports(
                self.output_dir, self.clip_id, self._records, self.exports, fps, self.stack_frames, self.images
            )
        # Last of all: a clip with a summary is complete.
        summary = summarise(self.clip_id, self._records, self.threshold, self.min_area, self.frame_seconds, self.about)
        write_summary(self.output_dir, self.clip_id, summary)

    @property
    def indices(self) -> list[int]:
        """The indices of the frames written so far, in order, including those of the stopped run."""
        return [record.index for record in self._records]

    @property
    def frames_with_polyp(self) -> int:
        """The number of these frames that have a polyp."""
        return sum(record.has_polyp for record in self._records)

    def write(
        self,
        name: str,
        frame: np.ndarray,
        probability: np.ndarray | FrameMap,
        index: int | None = None,
        seconds: float | None = None,
        left_empty: bool = False,
    ) -> None:
        """Write one frame's results; frames come in the clip's order. Errors of its files come with a later call.

        Args:
            name: the frame's file name; its extension is dropped. For a frame of a video use
                :func:`lsinet_monai.formats.frame_file`.
            frame: RGB, uint8, (H, W, 3).
            probability: the probability of a polyp, float32, (H, W), in [0, 1]; or what :func:`fetch_map` brought of
                it, with this writer's threshold and all that it needs.
            index: its index in the clip, above those before; by default the one after the last.
            seconds: its time; by default the index times ``frame_seconds``, if that is known.
            left_empty: the network gave no finite numbers for it, so the map is zero. The summary says so.

        Raises:
            InputError: the clip already has a frame of this name, the index is not above the last one, or the map does
                not match the frame or has values outside [0, 1].
        """
        self._finish_frames(self._most_pending - 1)
        stem = Path(name).stem
        where = f"frame '{name}' of clip '{self.clip_id}'"
        least = self._records[-1].index + 1 if self._records else 0
        index = least if index is None else index
        if stem in self._stems:
            raise InputError(f"{where} would overwrite the results of another frame '{stem}': rename one of them")
        if index < least:
            raise InputError(f"{where} has the index {index}, but {least} or more comes next: pass frames in order")
        map_ = probability
        if not isinstance(map_, FrameMap):
            map_ = measure_map(map_, self.threshold, self.write_maps)
        if frame.shape != (*map_.mask.shape, 3):
            raise InputError(f"{where} has shape {frame.shape}, its map {map_.mask.shape}: pass (H, W, 3) and (H, W)")
        if not map_.numbers.are_probabilities:
            raise InputError(f"the probability map of {where} has values outside [0, 1], or nan: pass sigmoid(logits)")
        if {"nifti", "nrrd"} & set(self.exports):
            # Refuse a stack that is too large now, not after an hour.
            first = self._records[0].index if self._records else index
            clip = ClipInfo(self.clip_id, (frame.shape[0], frame.shape[1]), index + 1)
            check_stack(clip, self.stack_frames or range(first, index + 1), channels=1 if self.images is None else 3)
        if seconds is None and self.frame_seconds is not None:
            seconds = index * self.frame_seconds

        height, width = map_.mask.shape
        record = FrameRecord(
            index,
            name,
            seconds,
            height,
            width,
            area=map_.numbers.area,
            score=map_.numbers.score,
            uncertainty=map_.numbers.uncertainty,
            has_polyp=has_polyp(map_.mask, self.min_area),
            left_empty=left_empty,
        )
        pictures = {"masks": map_.mask if self.write_masks else None, "maps": map_.levels if self.write_maps else None}
        files = [
            self._threads.submit(write_png, self.output_dir / kind / self.clip_id / f"{stem}.png", picture)
            for kind, picture in pictures.items()
            if picture is not None
        ]
        self._pending.append((record, files))
        self._records.append(record)
        self._stems.add(stem)
        if self._overlay:
            assert map_.probability is not None
            self._overlay.add(self._records, frame, map_.probability)

    def _finish_frames(self, most_pending: int) -> None:
        """Finish the frames whose files are there, in order; wait until at most so many are not."""
        while self._pending and (len(self._pending) > most_pending or all(file.done() for file in self._pending[0][1])):
            record, files = self._pending[0]
            try:
                for file in files:
                    file.result()
            except BaseException:
                # Later frames may have files, but a run resumes before this one.
                del self._records[-len(self._pending) :]
                self._stems -= {pending.stem for pending, _ in self._pending}
                self._pending.clear()
                raise
            self._pending.popleft()
            # Last of all: a frame with a line is done.
            self._record_file.append(record)

    def flush(self) -> None:
        """Store all frames so far on disk, so that a run can resume from here; the overlay grows by a segment."""
        try:
            self._finish_frames(0)
        finally:
            if self._overlay:
                self._overlay.end_segment(len(self._records))
