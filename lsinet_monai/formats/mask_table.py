"""Masks in a Parquet table: a row per frame and lesion, with COCO's compressed run-length code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import AddFrame, Attributes, ClipInfo
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write

__all__ = ["read_mask_table", "write_mask_table"]

_ROWS = 4096
"""Rows that are kept in memory before they are written, some megabytes."""


def _schema(arrow: Any) -> Any:
    return arrow.schema(
        [
            ("frame", arrow.int32()),
            ("seconds", arrow.float64()),
            ("lesion", arrow.int32()),
            ("score", arrow.float32()),
            ("area", arrow.int64()),
            ("height", arrow.int32()),
            ("width", arrow.int32()),
            ("counts", arrow.string()),
        ]
    )


@contextmanager
def write_mask_table(path: str | Path, clip: ClipInfo) -> Iterator[AddFrame]:
    """Write masks frame by frame. The file appears when the block ends.

    =================  =======================================================================
    ``frame``          the frame's index in the clip, from 0
    ``seconds``        its time, or null
    ``lesion``         the lesion's id, the same in all frames of the clip
    ``score``          the mean probability of its pixels, or null if there are no maps
    ``area``           its pixels
    ``height, width``  of the frame, in pixels: ``size`` of COCO's code
    ``counts``         COCO's compressed run-length code, as pycocotools reads it
    =================  =======================================================================

    Args:
        path: the file.
        clip: the clip.

    Yields:
        A function to call with each frame's index, its labels, int32, (H, W), and its lesions' attributes. A frame
        without a lesion has no row.

    Raises:
        InputError: pycocotools or pyarrow is not installed.
    """
    coco_masks = require_extra("pycocotools.mask", "video")
    arrow, parquet = require_extra("pyarrow", "archive"), require_extra("pyarrow.parquet", "archive")
    schema = _schema(arrow)
    height, width = clip.size
    rows: list[dict[str, Any]] = []

    with (
        atomic_write(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as file,
    ):

        def write_rows() -> None:
            file.write_table(arrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def add(index: int, labels: np.ndarray, attributes: Attributes) -> None:
            for lesion in np.unique(labels[labels > 0]).tolist():
                code = coco_masks.encode(np.asfortranarray(labels == lesion, np.uint8))
                rows.append(
                    {
                        "frame": index,
                        "seconds": clip.seconds.get(index),
                        "lesion": lesion,
                        "score": attributes.get(lesion, {}).get("score"),
                        "area": int(coco_masks.area(code)),
                        "height": height,
                        "width": width,
                        "counts": code["counts"].decode("ascii"),
                    }
                )
            if len(rows) >= _ROWS:
                write_rows()

        yield add
        write_rows()


def read_mask_table(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a table of masks.

    Args:
        path: the file.

    Yields:
        For each frame with a lesion, in order: its index, and the union of its lesions as a code for
        ``pycocotools.mask``, whose ``decode`` makes uint8, (H, W), of it.

    Raises:
        InputError: the file cannot be read, or pycocotools or pyarrow is not installed.
    """
    coco_masks = require_extra("pycocotools.mask", "video")
    arrow, parquet = require_extra("pyarrow", "archive"), require_extra("pyarrow.parquet", "archive")
    try:
        with parquet.ParquetFile(path) as file:
            frame = -1
            codes: list[dict[str, Any]] = []
            for batch in file.iter_batches(columns=["frame", "height", "width", "counts"]):
                for row in batch.to_pylist():
                    if row["frame"] != frame and codes:
                        yield frame, coco_masks.merge(codes)
                        codes = []
                    frame = row["frame"]
                    codes.append({"size": [row["height"], row["width"]], "counts": row["counts"].encode()})
            if codes:
                yield frame, coco_masks.merge(codes)
    except (OSError, KeyError, arrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as a table of masks ({error})") from error
