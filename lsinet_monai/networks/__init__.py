"""The network: what LSI-Net computes for one frame, one module per block of the paper."""

from .lsinet import OUTPUTS, Features, LSINet
from .model_file import Checkpoint, create_network, load_checkpoint, save_checkpoint
from .released import convert_released_state_dict

__all__ = [
    "OUTPUTS",
    "Checkpoint",
    "Features",
    "LSINet",
    "convert_released_state_dict",
    "create_network",
    "load_checkpoint",
    "save_checkpoint",
]
