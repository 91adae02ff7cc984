"""Clips: layouts on disk, reading, sampling, writing."""

from lsinet_monai.data.cache import FrameCache
from lsinet_monai.data.datasets import ClipPieces, TrainingDataset
from lsinet_monai.data.field_of_view import FieldOfView, find_field_of_view
from lsinet_monai.data.frames import (
    FRAME_SUFFIXES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_frame,
    frame_size,
    frames_to_tensor,
    read_frame,
    read_map,
    read_mask,
    resize_frame,
)
from lsinet_monai.data.inputs import VIDEO_SUFFIXES, check_all_read, clip_extent, find_inputs, share_clips
from lsinet_monai.data.phantom import phantom_clip, write_phantom
from lsinet_monai.data.sampling import TrainingSample, TrainingSampler
from lsinet_monai.data.sun_seg import (
    SPLITS,
    Clip,
    check_clips,
    describe_clips,
    find_clips,
    find_test_splits,
    natural_key,
    patient_of,
    read_split,
    split_by_patient,
)
from lsinet_monai.data.video import Video, VideoReport, open_video
from lsinet_monai.data.video_pieces import VideoPieces

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
    "TrainingDataset",
    "TrainingSample",
    "TrainingSampler",
    "Video",
    "VideoPieces",
    "VideoReport",
    "check_all_read",
    "check_clips",
    "check_frame",
    "clip_extent",
    "describe_clips",
    "find_clips",
    "find_field_of_view",
    "find_inputs",
    "find_test_splits",
    "frame_size",
    "frames_to_tensor",
    "natural_key",
    "open_video",
    "patient_of",
    "phantom_clip",
    "read_frame",
    "read_map",
    "read_mask",
    "read_split",
    "resize_frame",
    "share_clips",
    "split_by_patient",
    "write_phantom",
]
