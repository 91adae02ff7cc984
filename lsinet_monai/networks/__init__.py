"""The network: LSI-Net for one frame, with one module per block of the paper."""

from lsinet_monai.networks.lsinet import OUTPUTS, Features, LSINet
from lsinet_monai.networks.model_file import LoadedModel, create_network, load_checkpoint, save_checkpoint, save_model
from lsinet_monai.networks.released import convert_released_state_dict

__all__ = [
    "OUTPUTS",
    "Features",
    "LSINet",
    "LoadedModel",
    "convert_released_state_dict",
    "create_network",
    "load_checkpoint",
    "save_checkpoint",
    "save_model",
]
