"""Clips: finding their frames and videos, reading them in pieces, and drawing training samples from them."""

from typing import TYPE_CHECKING

from lsinet_monai.data.cache import FrameCache
from lsinet_monai.data.clip_masks import with_mask_rule
from lsinet_monai.data.clip_sets import read_test_clips, read_training_clips, split_held_out
from lsinet_monai.data.clips import (
    Clip,
    ResumePoint,
    check_clips,
    clip_extent,
    describe_clips,
    patient_of,
    rank_clips,
    split_by_patient,
)
from lsinet_monai.data.field_of_view import FieldOfView, find_field_of_view
from lsinet_monai.data.folders import natural_key
from lsinet_monai.data.frame_tensors import IMAGENET_MEAN, IMAGENET_STD, frames_to_tensor
from lsinet_monai.data.frames import (
    FRAME_SUFFIXES,
    check_frame,
    frame_size,
    read_frame,
    read_map,
    resize_frame,
)
from lsinet_monai.data.inputs import check_all_read, find_clips, find_inputs
from lsinet_monai.data.mask_files import MaskRule, find_mask_rule, read_mask
from lsinet_monai.data.phantom import phantom_clip, phantom_mucosa, write_phantom
from lsinet_monai.data.pieces import ClipPieces
from lsinet_monai.data.quality import frame_quality, unclear_frames
from lsinet_monai.data.sampling import TrainingSample, TrainingSampler
from lsinet_monai.data.stills import StillClip, find_stills, read_held_out, write_still_clips
from lsinet_monai.data.sun_seg import SPLITS, find_test_splits, read_negative_clips, read_split
from lsinet_monai.data.training_dataset import TrainingDataset
from lsinet_monai.data.training_loader import TrainingLoader
from lsinet_monai.data.video import (
    Video,
    VideoReport,
    check_decode_device,
    is_same_picture,
    open_video,
    thumbnail,
)
from lsinet_monai.data.video_files import VIDEO_SUFFIXES, has_video_suffix, looks_like_video
from lsinet_monai.utils.renamed import renamed

__all__ = [
    "FRAME_SUFFIXES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SPLITS",
    "VIDEO_SUFFIXES",
    "Clip",
    "ClipPieces",
    "FieldOfView",
    "FrameCache",
    "MaskRule",
    "ResumePoint",
    "StillClip",
    "TrainingDataset",
    "TrainingLoader",
    "TrainingSample",
    "TrainingSampler",
    "Video",
    "VideoReport",
    "check_all_read",
    "check_clips",
    "check_decode_device",
    "check_frame",
    "clip_extent",
    "describe_clips",
    "find_clips",
    "find_field_of_view",
    "find_inputs",
    "find_mask_rule",
    "find_stills",
    "find_test_splits",
    "frame_quality",
    "frame_size",
    "frames_to_tensor",
    "has_video_suffix",
    "is_same_picture",
    "looks_like_video",
    "natural_key",
    "open_video",
    "patient_of",
    "phantom_clip",
    "phantom_mucosa",
    "rank_clips",
    "read_frame",
    "read_held_out",
    "read_map",
    "read_mask",
    "read_negative_clips",
    "read_split",
    "read_test_clips",
    "read_training_clips",
    "resize_frame",
    "split_by_patient",
    "split_held_out",
    "thumbnail",
    "unclear_frames",
    "with_mask_rule",
    "write_phantom",
    "write_still_clips",
]

if not TYPE_CHECKING:  # so that type checkers know all names
    __getattr__ = renamed(
        __name__,
        {
            "VideoPieces": "ClipPieces",
            "share_clips": "rank_clips",
            "test_splits": "find_test_splits",
        },
    )
