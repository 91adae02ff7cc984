"""The network: what LSI-Net computes for one frame, one module per block of the paper."""

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .lsinet import Features, LSINet
from .released import convert_released_state_dict

__all__ = [
    "Checkpoint",
    "Features",
    "LSINet",
    "convert_released_state_dict",
    "load_checkpoint",
    "save_checkpoint",
]
