"""Exports of a clip's results in the formats of other tools, made from the masks and maps on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lsinet_monai.data import read_map, read_mask
from lsinet_monai.errors import InputError
from lsinet_monai.formats import (
    ClipInfo,
    check_stack,
    write_coco,
    write_cvat,
    write_image_stack,
    write_mask_table,
    write_stack,
)
from lsinet_monai.masks import LesionLinker
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.writers.frame_records import FrameRecord, write_records

logger = logging.getLogger(__name__)

__all__ = ["EXPORTS", "check_exports", "write_exports"]

EXPORTS = {
    "csv": "frames.csv",
    "coco": "coco.json",
    "cvat": "cvat.xml",
    "parquet": "masks.parquet",
    "nifti": "masks.nii.gz",
    "nrrd": "masks.nrrd",
}
"""The names of the exports, and the files that they write in the clip's folder."""

_MODULES = {
    "coco": [("pycocotools.mask", "video")],
    "cvat": [("contourpy", "video")],
    "parquet": [("pycocotools.mask", "video"), ("pyarrow", "archive")],
}
"""The modules that an export needs, each with the extra that installs it."""


def check_exports(exports: Sequence[str]) -> None:
    """Check before a run that exports can be written.

    Raises:
        InputError: an export is not in :data:`EXPORTS`, or needs an extra that is not installed.
    """
    for name in exports:
        if name not in EXPORTS:
            raise InputError(f"export '{name}' is not one of {', '.join(EXPORTS)}")
        for module, extra in _MODULES.get(name, []):
            require_extra(module, extra)


def write_exports(
    output_dir: str | Path,
    clip_id: str,
    records: Sequence[FrameRecord],
    exports: Sequence[str],
    fps: float | None = None,
    stack_frames: range | None = None,
    images: Callable[[int], np.ndarray] | None = None,
) -> None:
    """Write a clip's results in the formats of other tools, with a progress bar.

    :class:`lsinet_monai.masks.LesionLinker` links lesions through the clip: an id is a COCO ``track_id``, a CVAT
    track, and a ``lesion`` in Parquet. A lesion's ``score`` is the mean probability of its pixels, if the frame has a
    map.

    Args:
        output_dir: the folder that holds ``masks/<clip_id>``, and optionally ``maps/<clip_id>``.
        clip_id: the clip's name.
        records: its frames.
        exports: names of :data:`EXPORTS`, written to ``OUTPUT_DIR/<clip_id>/``.
        fps: frames per second, if known.
        stack_frames: indices of the frames to put into a stack, without gaps; by default all.
        images: returns the frame with an index, RGB, uint8, (H, W, 3), to also write a stack of frames,
            ``images.nii.gz`` or ``images.nrrd``.

    Raises:
        InputError: an export is unknown, a mask cannot be read, the frames differ in size, or a stack would be too
            large.
    """
    check_exports(exports)
    folder = Path(output_dir) / clip_id
    if "csv" in exports:
        write_records(folder / EXPORTS["csv"], records)
    if not records or not set(exports) - {"csv"}:
        return
    sizes = {(record.height, record.width) for record in records}
    if len(sizes) > 1:
        raise InputError(
            f"the frames of '{clip_id}' differ in size ({sizes}), which {', '.join(exports)} cannot hold: "
            "export only csv"
        )
    clip = ClipInfo(
        clip_id,
        sizes.pop(),
        records[-1].index + 1,
        files={record.index: record.file for record in records},
        seconds={record.index: record.seconds for record in records if record.seconds is not None},
        fps=fps,
    )
    if "cvat" in exports and len(records) < clip.frame_count:
        logger.warning(
            "%s: %d frames are damaged or lost. cvat.xml counts them, but CVAT numbers only the pictures that it can "
            "decode: there, the shapes behind these frames lie too late",
            clip_id, clip.frame_count - len(records),
        )  # fmt: skip
    stacks = [EXPORTS[name] for name in ("nifti", "nrrd") if name in exports]
    frames = range(records[0].index, clip.frame_count) if stack_frames is None else stack_frames
    if not frames:
        stacks = []
    if stacks:
        check_stack(clip, frames, channels=1 if images is None else 3)

    with ExitStack() as open_files:
        adds = [open_files.enter_context(write_stack(folder / name, clip, frames)) for name in stacks]
        if "coco" in exports:
            adds.append(open_files.enter_context(write_coco(folder / EXPORTS["coco"], clip)))
        if "cvat" in exports:
            adds.append(open_files.enter_context(write_cvat(folder / EXPORTS["cvat"], clip)))
        if "parquet" in exports:
            adds.append(open_files.enter_context(write_mask_table(folder / EXPORTS["parquet"], clip)))
        linker = LesionLinker()
        for record in tqdm(records, desc=f"exporting {clip_id}", unit="frame", leave=False):
            labels = linker(read_mask(Path(output_dir) / "masks" / clip_id / f"{record.stem}.png"))
            scores = _scores(labels, Path(output_dir) / "maps" / clip_id / f"{record.stem}.png")
            for add in adds:
                add(record.index, labels, scores)
    if images is not None:
        for name in stacks:
            wanted = (_image(images, index, clip) for index in frames)
            write_image_stack(folder / name.replace("masks", "images"), clip, frames, wanted)


def _image(images: Callable[[int], np.ndarray], index: int, clip: ClipInfo) -> np.ndarray:
    """A frame for a stack; black if it is missing."""
    if index in clip.files:
        try:
            return images(index)
        except InputError as error:  # a damaged video may decode in order, but not seek to this frame
            logger.warning("frame %d of %s is black in the stack: %s", index, clip.name, error)
    return np.zeros((*clip.size, 3), np.uint8)


def _scores(labels: np.ndarray, path: Path) -> dict[int, dict[str, float]]:
    """The mean probability of each lesion, to 4 decimals, since a map has 8 bits."""
    lesions = np.unique(labels[labels > 0]).tolist()
    if not lesions or not path.exists():
        return {}
    probability = read_map(path)
    return {lesion: {"score": round(float(probability[labels == lesion].mean()) / 255, 4)} for lesion in lesions}
