"""Writing results: every file appears whole or not at all, and a clip's overlay grows frame by frame."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, check_stack, write_png
from lsinet_monai.masks import frame_score, has_polyp, polyp_intervals, uncertainty
from lsinet_monai.utils.files import atomic_write, check_writable
from lsinet_monai.writers.drawing import BAR_HEIGHT, overlay, status_bar
from lsinet_monai.writers.exports import EXPORTS, check_exports, write_exports
from lsinet_monai.writers.frame_records import FrameRecord, RecordFile, read_records
from lsinet_monai.writers.overlays import GifOverlay, Mp4Overlay

__all__ = [
    "ClipWriter",
    "check_model_file",
    "forget_clip",
    "frames_on_disk",
    "prepare_output_dir",
    "read_summary",
    "unfinished_dir",
]

_OVERLAY_FRAME_SECONDS = 0.1
_SUMMARY = "summary.json"
_FRAME_RESULTS = ("masks", "maps")
_UNFINISHED = ".unfinished"
_RECORDS = "frames.csv"


def prepare_output_dir(
    path: str | Path, overwrite: bool = False, input_dir: str | Path | None = None, leftovers: Collection[Path] = ()
) -> Path:
    """Make a folder for results, and refuse one in which they would mix with other files.

    Args:
        path: the folder; it is made, with those above it, if it does not exist.
        overwrite: take a folder that holds files already; those that a run writes anew are replaced, the others stay.
        input_dir: the folder that the run reads frames from, with all folders below it.
        leftovers: files in the folder that do not count: an earlier run of the same kind left them, which was stopped
            before it had any result.

    Returns:
        The folder.

    Raises:
        InputError: if the folder holds any file and ``overwrite`` is not set, it is ``input_dir`` or lies in it,
            ``input_dir`` lies where results go, or the path is a file or cannot be made.
    """
    if "::" in str(path):
        raise InputError(f"output_dir '{path}' has '::', which a config makes of '#': choose a name without")
    folder = Path(path)
    if input_dir is not None and folder.resolve().is_relative_to(Path(input_dir).resolve()):
        raise InputError(
            f"output_dir '{folder}' lies in the input '{input_dir}', so a second run would take its masks for frames: "
            "choose a folder outside"
        )
    for kind in (*_FRAME_RESULTS, "overlays"):
        if input_dir is not None and Path(input_dir).resolve().is_relative_to((folder / kind).resolve()):
            raise InputError(
                f"the input '{input_dir}' lies where results would be written, in output_dir '{folder}': choose "
                "another output_dir"
            )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output_dir '{folder}' is a file: choose a folder")
    found = next((path for path in folder.rglob("*") if not path.is_dir() and path not in leftovers), None)
    if found is not None and not overwrite:
        raise InputError(
            f"output_dir '{folder}' holds files that this run did not write (e.g. '{found.relative_to(folder)}'): "
            "choose another folder or pass --overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output_dir '{folder}' cannot be made ({error.strerror}): choose another folder") from error
    return folder


def check_model_file(path: str | Path) -> Path:
    """Make sure, before a training, that its model file can be written.

    Raises:
        InputError: see :func:`lsinet_monai.utils.files.check_writable`.
    """
    return check_writable(path, "model_file")


class ClipWriter:
    """Write one clip's results while it is being segmented: a context manager, one :meth:`write` per frame.

    =============================================  =================================================================
    ``OUTPUT_DIR/masks/<clip_id>/<frame>.png``     8-bit, 255 where the probability is above the threshold, else 0
    ``OUTPUT_DIR/maps/<clip_id>/<frame>.png``      8-bit, the probability times 255, rounded; never stretched
    ``OUTPUT_DIR/overlays/<clip_id>.gif``          the frames with the mask outlined, for people; or ``.mp4``
    ``OUTPUT_DIR/<clip_id>/``                      the exports that are asked for: see :func:`write_exports`
    ``OUTPUT_DIR/<clip_id>/summary.json``          the frames' scores and the intervals with a polyp
    =============================================  =================================================================

    ``<frame>`` is the frame's name without its extension. Memory does not grow with the clip but for the scores. Masks
    and maps appear at once; the overlay, the exports and, last of all, the summary when the context is left. If it is
    left by an exception they do not, and the masks and maps written until then stay.

    A run that was stopped, by whatever it was, can go on from where :meth:`flush` was called: give ``frames_done``.
    What that needs is kept in ``OUTPUT_DIR/<clip_id>/.unfinished`` until the summary is written. The results are those
    of a run that was not stopped::

        with ClipWriter(output_dir, clip_id, frames_done=done) as writer:  # done: of the state that was saved last
            for ...:
                writer.write(...)
                if it is time to save:
                    writer.flush()
                    save what else the run needs to go on, with the number of frames that were written

    Args:
        output_dir: the folder of all results.
        clip_id: the clip's name, a relative path that may have several parts (``case1/part2``).
        threshold: a pixel belongs to the mask where its probability is above this, in [0, 1].
        min_area: a frame has a polyp where its mask covers more than this fraction of the frame.
        write_masks: whether to write masks.
        write_maps: whether to write maps.
        overlay: "gif", "mp4" (with the extra ``video``), or None for none.
        score_bar: whether the overlay has the frame score below the frame.
        frame_seconds: the time between frames, for the overlay's pace (0.1 s where it is not known) and the frames'
            times where they are not given.
        exports: names of :data:`EXPORTS`; they need the masks, and their scores need the maps.
        stack_frames: the frames to put into a stack; by default all.
        images: gives the frame with an index, RGB, uint8, (H, W, 3), for a stack of the frames beside that of the
            masks; without it there is none.
        frames_done: for a run that can be resumed: so many frames of the clip are done, 0 at first; no more than
            :func:`frames_on_disk`. None for a run that leaves only its masks and maps if it ends by an exception.

    Attributes:
        about: what else the summary is to say, by key: how the clip was read, and with which settings it was segmented.

    Raises:
        InputError: if ``clip_id`` leads out of ``output_dir``, an export is not known or has no masks, PyAV is missing
            for an MP4, or a run that was stopped did not leave ``frames_done`` frames.
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
            raise InputError(f"exports {', '.join(exports)} are made of the masks: write the masks too")
        self.output_dir = Path(output_dir)
        self.clip_id = str(relative)
        self.threshold = threshold
        self.min_area = min_area
        self.write_masks = write_masks
        self.write_maps = write_maps
        self.score_bar = score_bar
        self.frame_seconds = frame_seconds
        self.exports = list(exports)
        self.stack_frames = stack_frames
        self.images = images
        self.frames_done = frames_done
        self.about: dict[str, Any] = {}

        self._overlay = _make_overlay(overlay, frame_seconds)
        self._segment: Path | None = None  # the one that is being written, named after the number of its first frame
        self._picture_size: tuple[int, int] = (0, 0)
        self._unfinished = unfinished_dir(self.output_dir, self.clip_id)
        self._records = self._take_up(frames_done or 0)
        self._stems = {record.stem for record in self._records}
        self._record_file = RecordFile(self._unfinished / _RECORDS, self._records)

    def _take_up(self, done: int) -> list[FrameRecord]:
        """Bring what an earlier run left to the state that it had after so many frames."""
        if not done and self._unfinished.exists():
            shutil.rmtree(self._unfinished)
        (self.output_dir / self.clip_id / _SUMMARY).unlink(missing_ok=True)
        records = read_records(self._unfinished / _RECORDS)
        for leftover in self._unfinished.glob("*.part"):
            leftover.unlink()
        segments = _segments(self._unfinished)
        for segment, stop in segments.items():
            if stop > done:
                segment.unlink()
        has_overlay = not self._overlay or done in {0, *segments.values()}
        if len(records) < done or not has_overlay:
            raise InputError(
                f"'{self._unfinished}' does not hold the first {done} frames of clip '{self.clip_id}': start it anew"
            )
        return records[:done]

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end_segment()
        finally:
            self._record_file.close()
        if error is None:
            self._finish()
        if error is None or self.frames_done is None:
            shutil.rmtree(self._unfinished)

    def _finish(self) -> None:
        folder = self.output_dir / self.clip_id
        segments = _segments(self._unfinished)
        if self._overlay and segments:
            self._overlay.join(list(segments), self.output_dir / "overlays" / f"{self.clip_id}{self._overlay.suffix}")
        summary = self._summary()
        if self.exports:
            fps = 1 / self.frame_seconds if self.frame_seconds else None
            write_exports(
                self.output_dir, self.clip_id, self._records, self.exports, fps, self.stack_frames, self.images
            )
        with atomic_write(folder / _SUMMARY) as path:
            path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    @property
    def indices(self) -> list[int]:
        """The indices of the frames that are written, in order, those of the run that was stopped among them."""
        return [record.index for record in self._records]

    def write(
        self,
        name: str,
        frame: np.ndarray,
        probability: np.ndarray,
        index: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Write one frame's results; frames come in the clip's order.

        Args:
            name: the frame's file name; its extension is dropped. A frame of a video has none but
                :func:`lsinet_monai.formats.frame_file`.
            frame: RGB, uint8, (H, W, 3).
            probability: the probability of a polyp, float32, (H, W), in [0, 1].
            index: its index in the clip, above those before; by default the one after the last.
            seconds: its time; by default the index times ``frame_seconds``, if that is known.

        Raises:
            InputError: if the frame's name was used before in this clip, its index is not above the last one's, or the
                probability map does not fit the frame or leaves [0, 1].
        """
        stem = Path(name).stem
        where = f"frame '{name}' of clip '{self.clip_id}'"
        least = self._records[-1].index + 1 if self._records else 0
        index = least if index is None else index
        if stem in self._stems:
            raise InputError(f"{where} would overwrite the results of another frame '{stem}': rename one of them")
        if index < least:
            raise InputError(f"{where} has the index {index}, but {least} or more comes next: pass frames in order")
        if frame.shape != (*probability.shape, 3):
            raise InputError(f"{where} has shape {frame.shape}, its map {probability.shape}: pass (H, W, 3) and (H, W)")
        if not (probability.min() >= 0 and probability.max() <= 1):
            raise InputError(f"the probability map of {where} has values outside [0, 1], or nan: pass sigmoid(logits)")
        if {"nifti", "nrrd"} & set(self.exports):
            # Now, not after an hour.
            first = self._records[0].index if self._records else index
            clip = ClipInfo(self.clip_id, (frame.shape[0], frame.shape[1]), index + 1)
            check_stack(clip, self.stack_frames or range(first, index + 1), channels=1 if self.images is None else 3)
        if seconds is None and self.frame_seconds is not None:
            seconds = index * self.frame_seconds

        mask = probability > self.threshold
        height, width = mask.shape
        record = FrameRecord(
            index,
            name,
            seconds,
            height,
            width,
            area=float(mask.mean()),
            score=frame_score(probability),
            uncertainty=uncertainty(probability),
            has_polyp=has_polyp(mask, self.min_area),
        )
        if self.write_masks:
            write_png(self.output_dir / "masks" / self.clip_id / f"{stem}.png", mask.astype(np.uint8) * 255)
        if self.write_maps:
            map_ = np.rint(255 * probability).astype(np.uint8)
            write_png(self.output_dir / "maps" / self.clip_id / f"{stem}.png", map_)
        self._records.append(record)
        self._stems.add(stem)
        if self._overlay:
            self._add_picture(frame, probability)
        # Last of all: a frame that has a line is done.
        self._record_file.append(record)

    def flush(self) -> None:
        """Bring all frames so far to the disk, so that a run can go on from here; the overlay grows by a segment."""
        self._end_segment()

    def _end_segment(self) -> None:
        if self._overlay and self._segment:
            self._overlay.finish()
            os.replace(self._segment, self._segment.with_name(f"{self._segment.stem}-{len(self._records):09d}.segment"))
            self._segment = None

    def _add_picture(self, frame: np.ndarray, probability: np.ndarray) -> None:
        assert self._overlay is not None
        first, last, number = self._records[0], self._records[-1], len(self._records) - 1
        if self._segment is None:
            self._picture_size = _fit((first.height, first.width), self._overlay.long_side)
            self._segment = self._unfinished / f"{number:09d}.part"
            self._segment.touch()  # now, not when the encoder has its first bytes: it says that there is an overlay
            width, height = self._picture_size
            self._overlay.start(self._segment, (width, height + (BAR_HEIGHT if self.score_bar else 0)))
        # The outline is drawn at the picture's size, on the resized map: a resized outline would be thick or torn.
        fitted_frame, fitted_map = (
            np.asarray(ImageOps.pad(Image.fromarray(image), self._picture_size, Image.Resampling.BILINEAR))
            for image in (frame, probability.astype(np.float32))
        )
        picture = overlay(fitted_frame, fitted_map > self.threshold)
        if self.score_bar:
            recent = self._records[-self._picture_size[0] :]
            scores, flags = [record.score for record in recent], [record.has_polyp for record in recent]
            picture = np.concatenate([picture, status_bar(self._picture_size[0], last.index, scores, flags)])
        if last.seconds is None or first.seconds is None:
            seconds = number * _OVERLAY_FRAME_SECONDS
        else:
            seconds = last.seconds - first.seconds
        self._overlay.add(picture, number, seconds)

    def _summary(self) -> dict[str, Any]:
        records = {record.index: record for record in self._records}
        frames = range(self._records[0].index, self._records[-1].index + 1) if records else range(0)
        # Frames that are missing, since they are damaged, count as frames without a polyp.
        flags = [index in records and records[index].has_polyp for index in frames]
        intervals = [
            {
                "first": first.index,
                "last": last.index,
                "first_frame": first.stem,
                "last_frame": last.stem,
                "first_seconds": first.seconds,
                "last_seconds": last.seconds,
            }
            for first, last in ((records[frames[a]], records[frames[b]]) for a, b in polyp_intervals(flags))
        ]
        return {
            "clip": self.clip_id,
            "size": [self._records[0].height, self._records[0].width] if records else [],
            "threshold": self.threshold,
            "min_area": self.min_area,
            "frame_seconds": self.frame_seconds,
            **self.about,
            "counts": {"frames": len(records), "frames_with_polyp": sum(flags), "intervals": len(intervals)},
            "intervals": intervals,
            "frames": [record.summary() for record in self._records],
        }


def frames_on_disk(output_dir: str | Path, clip_id: str) -> int:
    """How many frames of a clip a run that was stopped has left, for another one to go on from; 0 if there was none."""
    folder = unfinished_dir(output_dir, clip_id)
    done = len(read_records(folder / _RECORDS))
    segments = _segments(folder)
    has_overlay = segments or any(folder.glob("*.part"))
    return min(done, max(segments.values(), default=0)) if has_overlay else done


def unfinished_dir(output_dir: str | Path, clip_id: str) -> Path:
    """The folder of what a run needs to go on with a clip; it is removed when the clip's summary is written."""
    return Path(output_dir) / clip_id / _UNFINISHED


def forget_clip(output_dir: str | Path, clip_id: str) -> None:
    """Let a clip be begun anew: remove the results that an earlier run left of it, and what says where it stands.

    The clip may have other frames now, and what an earlier run made of those that are gone would pass for this one's.
    Files that no run wrote stay.
    """
    output_dir, unfinished = Path(output_dir), unfinished_dir(output_dir, clip_id)
    stems = [record.stem for record in read_records(unfinished / _RECORDS)]
    with suppress(InputError):
        stems += [entry["frame"] for entry in (read_summary(output_dir, clip_id) or {}).get("frames", [])]
    for kind in _FRAME_RESULTS:
        for stem in stems:
            (output_dir / kind / clip_id / f"{stem}.png").unlink(missing_ok=True)
    for suffix in (GifOverlay.suffix, Mp4Overlay.suffix):
        (output_dir / "overlays" / f"{clip_id}{suffix}").unlink(missing_ok=True)
    for name in (*EXPORTS.values(), _SUMMARY):
        (output_dir / clip_id / name).unlink(missing_ok=True)
    shutil.rmtree(unfinished, ignore_errors=True)


def read_summary(output_dir: str | Path, clip_id: str) -> dict[str, Any] | None:
    """Read a clip's summary; None if there is none, and so not all of the clip's results: it is written last.

    Raises:
        InputError: it is not what :class:`ClipWriter` wrote.
    """
    path = Path(output_dir) / clip_id / _SUMMARY
    if not path.is_file():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        summary = None
    if not isinstance(summary, dict):
        raise InputError(f"{path}: is no summary of a clip; remove it, and the clip is segmented anew")
    return summary


def _segments(folder: Path) -> dict[Path, int]:
    """The overlay's segments that are whole, in order, and the number of frames up to the end of each."""
    return {segment: int(segment.stem.rpartition("-")[2]) for segment in sorted(folder.glob("*.segment"))}


def _make_overlay(kind: str | None, frame_seconds: float | None) -> GifOverlay | Mp4Overlay | None:
    if kind is None:
        return None
    if kind == "gif":
        return GifOverlay(frame_seconds or _OVERLAY_FRAME_SECONDS)
    if kind == "mp4":
        return Mp4Overlay()
    raise InputError(f"overlay '{kind}' is neither gif nor mp4")


def _fit(size: tuple[int, int], long_side: tuple[int, int]) -> tuple[int, int]:
    """Width and height, both even, of the pictures that show frames of a height and width."""
    height, width = size
    scale = min(max(height, width, long_side[0]), long_side[1]) / max(height, width)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
