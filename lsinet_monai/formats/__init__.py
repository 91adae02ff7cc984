"""File formats of other tools: each module writes and reads one format."""

from lsinet_monai.formats.clip_labels import (
    AddFrame,
    Attributes,
    ClipInfo,
    ClipLabels,
    Reading,
    frame_file,
    list_frames,
)
from lsinet_monai.formats.coco import read_coco, write_coco
from lsinet_monai.formats.cvat import read_cvat, write_cvat
from lsinet_monai.formats.labels import Labels, UnclearLabels, parse_labels
from lsinet_monai.formats.mask_table import read_mask_table, write_mask_table
from lsinet_monai.formats.png import read_png_folder, write_png
from lsinet_monai.formats.reading import read_labels
from lsinet_monai.formats.stack import check_stack, read_stack, write_image_stack, write_stack

__all__ = [
    "AddFrame",
    "Attributes",
    "ClipInfo",
    "ClipLabels",
    "Labels",
    "Reading",
    "UnclearLabels",
    "check_stack",
    "frame_file",
    "list_frames",
    "parse_labels",
    "read_coco",
    "read_cvat",
    "read_labels",
    "read_mask_table",
    "read_png_folder",
    "read_stack",
    "write_coco",
    "write_cvat",
    "write_image_stack",
    "write_mask_table",
    "write_png",
    "write_stack",
]
