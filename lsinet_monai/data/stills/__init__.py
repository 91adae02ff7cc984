"""Stills as clips: a camera moves over a picture and its mask, and what spoils real frames passes in front.

STM (Oh et al., ICCV 2019), XMem (Cheng & Schwing, ECCV 2022) and Cutie (Cheng et al., CVPR 2024) learn from pictures
before they learn from video. Pictures of polyps with masks are public, videos are not.

Modules, bottom to top: ``folder`` (stills and their masks on disk), ``warp`` (smooth maps, bent pictures),
``camera_path`` (where the camera looks), ``look`` (light, colour and sharpness), ``effects`` (what covers the view),
``still_clip`` (frames and masks), ``spoiling`` (stretches whose frames show little), ``dataset`` (a data set of such
clips).

Time is in frames, 25 a second.
"""

from lsinet_monai.data.stills.dataset import write_still_clips
from lsinet_monai.data.stills.folder import find_stills, read_held_out
from lsinet_monai.data.stills.spoiling import SPOILINGS, SpoiledClip, Stretch, draw_stretches
from lsinet_monai.data.stills.still_clip import EFFECTS, StillClip, check_effects

__all__ = [
    "EFFECTS",
    "SPOILINGS",
    "SpoiledClip",
    "StillClip",
    "Stretch",
    "check_effects",
    "draw_stretches",
    "find_stills",
    "read_held_out",
    "write_still_clips",
]
