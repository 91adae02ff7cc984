"""Writing results: every file appears whole or not at all, and a clip's overlay grows frame by frame."""

from __future__ import annotations

import json
import os
import struct
from collections import deque
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

import numpy as np
from PIL import GifImagePlugin, Image, ImageOps

from lsinet_monai.errors import InputError
from lsinet_monai.files import whole_file
from lsinet_monai.metrics import frame_score, has_polyp, polyp_intervals, uncertainty

from .drawing import BAR_HEIGHT, overlay, status_bar

__all__ = ["ClipWriter", "prepare_model_file", "prepare_output_dir"]

_LONG_SIDE = (320, 480)
_OVERLAY_FRAME_SECONDS = 0.1


def prepare_output_dir(path: str | Path, overwrite: bool = False, input_dir: str | Path | None = None) -> Path:
    """Make a folder for results, and refuse one in which they would mix with other files.

    Args:
        path: the folder; it is made, with those above it, if it does not exist.
        overwrite: take a folder that holds files already; those that a run writes anew are replaced, the others stay.
        input_dir: the folder that the run reads frames from, with all folders below it.

    Returns:
        The folder.

    Raises:
        InputError: if the folder holds any file and ``overwrite`` is not set, it is ``input_dir`` or lies in it, or
            the path is a file or cannot be made.
    """
    folder = Path(path)
    if input_dir is not None and folder.resolve().is_relative_to(Path(input_dir).resolve()):
        raise InputError(
            f"output_dir '{folder}' lies in the input '{input_dir}', so a second run would take its masks for frames: "
            "choose a folder outside"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output_dir '{folder}' is a file: choose a folder")
    found = next((name for name in folder.rglob("*") if not name.is_dir()), None)
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


def prepare_model_file(path: str | Path) -> Path:
    """Make sure, before a training, that its model file can be written; the folder above it is made.

    Raises:
        InputError: if the path is a folder, or the folder above it cannot be made or written to.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError(f"model_file '{file}' is a folder: give the name of a file in it")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"model_file '{file}' cannot be written ({error.strerror}): choose another place") from error
    if not os.access(file.parent, os.W_OK):
        raise InputError(f"model_file '{file}' cannot be written (no permission): choose another place")
    return file


class ClipWriter:
    """Write one clip's results while it is being segmented: a context manager, one :meth:`write` per frame.

    =============================================  =================================================================
    ``OUTPUT_DIR/masks/<clip_id>/<frame>.png``     8-bit, 255 where the probability is above the threshold, else 0
    ``OUTPUT_DIR/maps/<clip_id>/<frame>.png``      8-bit, the probability times 255, rounded; never stretched
    ``OUTPUT_DIR/overlays/<clip_id>.gif``          the frames with the mask outlined, for people
    ``OUTPUT_DIR/<clip_id>/summary.json``          the frames' scores and the intervals with a polyp
    =============================================  =================================================================

    ``<frame>`` is the frame's name without its extension. Memory does not grow with the clip but for the scores. The
    overlay and, last of all, the summary appear when the context is left; if it is left by an exception they do not,
    and the masks and maps written until then stay.

    Args:
        output_dir: the folder of all results.
        clip_id: the clip's name, a relative path that may have several parts (``case1/part2``).
        threshold: a pixel belongs to the mask where its probability is above this, in [0, 1].
        min_area: a frame has a polyp where its mask covers more than this fraction of the frame.
        write_masks: whether to write masks.
        write_maps: whether to write maps.
        write_overlay: whether to write the overlay.
        frame_seconds: the time between frames, for the overlay's pace (0.1 s where it is not known) and the summary.

    Raises:
        InputError: if ``clip_id`` leads out of ``output_dir``.
    """

    def __init__(
        self,
        output_dir: str | Path,
        clip_id: str,
        threshold: float = 0.5,
        min_area: float = 0.001,
        write_masks: bool = True,
        write_maps: bool = True,
        write_overlay: bool = True,
        frame_seconds: float | None = None,
    ) -> None:
        relative = PurePosixPath(clip_id)
        if not relative.parts or ".." in relative.parts or relative.is_absolute():
            raise InputError(f"clip_id '{clip_id}' does not name a place inside '{output_dir}': use a relative path")
        self.output_dir = Path(output_dir)
        self.clip_id = str(relative)
        self.threshold = threshold
        self.min_area = min_area
        self.write_masks = write_masks
        self.write_maps = write_maps
        self.write_overlay = write_overlay
        self.frame_seconds = frame_seconds
        self._frames: dict[str, dict[str, Any]] = {}
        self._size: tuple[int, ...] = ()
        self._overlay: _OverlayStream | None = None
        self._open_files = ExitStack()

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The overlay takes its place here, or is removed if there was an error.
        self._open_files.__exit__(kind, error, trace)
        if error is None:
            with whole_file(self.output_dir / self.clip_id / "summary.json") as path:
                path.write_text(json.dumps(self._summary(), indent=2) + "\n", encoding="utf-8")

    def write(self, name: str, frame: np.ndarray, probability: np.ndarray) -> None:
        """Write one frame's results; frames come in the clip's order.

        Args:
            name: the frame's file name; its extension is dropped.
            frame: RGB, uint8, (H, W, 3).
            probability: the probability of a polyp, float32, (H, W), in [0, 1].

        Raises:
            InputError: if the frame's name was used before in this clip, or the probability map does not fit the
                frame or leaves [0, 1].
        """
        stem = Path(name).stem
        where = f"frame '{name}' of clip '{self.clip_id}'"
        if stem in self._frames:
            raise InputError(f"{where} would overwrite the results of another frame '{stem}': rename one of them")
        if frame.shape != (*probability.shape, 3):
            raise InputError(f"{where} has shape {frame.shape}, its map {probability.shape}: pass (H, W, 3) and (H, W)")
        if not (probability.min() >= 0 and probability.max() <= 1):
            raise InputError(f"the probability map of {where} has values outside [0, 1], or nan: pass sigmoid(logits)")

        mask = probability > self.threshold
        entry: dict[str, Any] = {
            "frame": stem,
            "area": float(mask.mean()),
            "score": frame_score(probability),
            "uncertainty": uncertainty(probability),
            "has_polyp": has_polyp(mask, self.min_area),
        }
        if self.write_masks:
            self._write_png("masks", stem, mask.astype(np.uint8) * 255)
        if self.write_maps:
            self._write_png("maps", stem, np.rint(255 * probability).astype(np.uint8))
        if self.write_overlay:
            if self._overlay is None:
                self._overlay = self._open_overlay(probability.shape)
            self._overlay.add(frame, probability, entry["score"], entry["has_polyp"])
        self._size = self._size or probability.shape
        self._frames[stem] = entry

    def _write_png(self, kind: str, stem: str, image: np.ndarray) -> None:
        with whole_file(self.output_dir / kind / self.clip_id / f"{stem}.png") as path:
            Image.fromarray(image).save(path, format="PNG")

    def _open_overlay(self, size: tuple[int, ...]) -> _OverlayStream:
        path = self._open_files.enter_context(whole_file(self.output_dir / "overlays" / f"{self.clip_id}.gif"))
        file = self._open_files.enter_context(path.open("wb"))
        stream = _OverlayStream(file, size, self.threshold, self.frame_seconds or _OVERLAY_FRAME_SECONDS)
        self._open_files.callback(stream.finish)
        return stream

    def _summary(self) -> dict[str, Any]:
        frames = list(self._frames.values())
        flags = [entry["has_polyp"] for entry in frames]
        intervals = [
            {
                "first": first,
                "last": last,
                "first_frame": frames[first]["frame"],
                "last_frame": frames[last]["frame"],
            }
            for first, last in polyp_intervals(flags)
        ]
        return {
            "clip": self.clip_id,
            "size": list(self._size),
            "threshold": self.threshold,
            "min_area": self.min_area,
            "frame_seconds": self.frame_seconds,
            "counts": {"frames": len(frames), "frames_with_polyp": sum(flags), "intervals": len(intervals)},
            "intervals": intervals,
            "frames": frames,
        }


class _OverlayStream:
    """The overlay as an animated GIF, written picture by picture; Pillow's own writer keeps them all until the end.

    The format: https://www.w3.org/Graphics/GIF/spec-gif89a.txt. Each picture brings its own 256 colours.

    Args:
        file: where to write.
        size: height and width of the clip's first frame; it sets the pictures' size, and later frames are fitted in.
        threshold: the mask is where the probability is above this.
        frame_seconds: how long each picture is shown.
    """

    def __init__(self, file: IO[bytes], size: tuple[int, ...], threshold: float, frame_seconds: float) -> None:
        height, width = size
        scale = min(max(height, width, _LONG_SIDE[0]), _LONG_SIDE[1]) / max(height, width)
        self.file = file
        self.threshold = threshold
        self.frame_seconds = frame_seconds
        self.picture_size = max(1, round(width * scale)), max(1, round(height * scale))
        self.count = 0
        # The bar shows the recent frames, and has no room for more of them than it has pixels.
        self.scores: deque[float] = deque(maxlen=self.picture_size[0])
        self.flags: deque[bool] = deque(maxlen=self.picture_size[0])
        no_global_colours = bytes(3)
        loop_for_ever = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
        screen = struct.pack("<HH", self.picture_size[0], self.picture_size[1] + BAR_HEIGHT)
        file.write(b"GIF89a" + screen + no_global_colours + loop_for_ever)

    def add(self, frame: np.ndarray, probability: np.ndarray, score: float, flag: bool) -> None:
        """Append a frame, RGB, uint8, (H, W, 3), with its map, (H, W), its score, and whether it has a polyp."""
        # The outline is drawn at the picture's size, on the resized map: a resized outline would be thick or torn.
        fitted_frame, fitted_map = (
            np.asarray(ImageOps.pad(Image.fromarray(image), self.picture_size, Image.Resampling.BILINEAR))
            for image in (frame, probability.astype(np.float32))
        )
        self.scores.append(score)
        self.flags.append(flag)
        bar = status_bar(self.picture_size[0], self.count, list(self.scores), list(self.flags))
        picture = Image.fromarray(np.concatenate([overlay(fitted_frame, fitted_map > self.threshold), bar]))
        colours = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        # GIF counts in 1/100 s: rounding the sum, not each duration, keeps the pace. Below 2, viewers play slowly.
        begin, end = (round(100 * self.frame_seconds * number) for number in (self.count, self.count + 1))
        milliseconds = 10 * max(2, end - begin)
        for block in GifImagePlugin.getdata(colours, duration=milliseconds, include_color_table=True):
            self.file.write(block)
        self.count += 1

    def finish(self) -> None:
        """Write the end of the file."""
        self.file.write(b";")
