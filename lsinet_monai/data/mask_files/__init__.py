"""Files of masks: which pixels are polyp, and which mask belongs to a frame.

A set's masks may be 0 and 255, 0 and 1, coloured or compressed. :func:`find_mask_rule` finds out once for a set what is
polyp, and every mask is read, and checked, by that rule.
"""

from lsinet_monai.data.mask_files.finding import find_map_rule, find_mask_rule, list_values, read_mask
from lsinet_monai.data.mask_files.names import frame_names, match_masks
from lsinet_monai.data.mask_files.picture import read_mask_picture
from lsinet_monai.data.mask_files.rule import STANDARD, MaskRule, UnclearMasks

__all__ = [
    "STANDARD",
    "MaskRule",
    "UnclearMasks",
    "find_map_rule",
    "find_mask_rule",
    "frame_names",
    "list_values",
    "match_masks",
    "read_mask",
    "read_mask_picture",
]
