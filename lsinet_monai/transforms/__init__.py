"""Transforms: from a training sample's paths to augmented tensors."""

from lsinet_monai.data.frame_tensors import IMAGENET_MEAN, IMAGENET_STD, frames_to_tensor
from lsinet_monai.transforms.augment import (
    FramesToTensord,
    RandColourd,
    RandFlipClipd,
    RandMaskNoised,
    RandRotateClipd,
    training_transforms,
)
from lsinet_monai.transforms.load import LoadFramesd
from lsinet_monai.transforms.spoiled_clip import RandSpoiledClipd
from lsinet_monai.transforms.still_clip import RandStillClipd

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "FramesToTensord",
    "LoadFramesd",
    "RandColourd",
    "RandFlipClipd",
    "RandMaskNoised",
    "RandRotateClipd",
    "RandSpoiledClipd",
    "RandStillClipd",
    "frames_to_tensor",
    "training_transforms",
]
