"""The network: LSI-Net for one frame, with one module per block of the paper."""

from typing import TYPE_CHECKING

from lsinet_monai.networks.features import Features
from lsinet_monai.networks.fusing import fuse_norms
from lsinet_monai.networks.lsinet import OUTPUTS, LSINet
from lsinet_monai.networks.model_file import LoadedModel, create_network, load_checkpoint, save_checkpoint, save_model
from lsinet_monai.networks.prompt_head import PromptHead, reduce_mask
from lsinet_monai.networks.released import convert_released_state_dict
from lsinet_monai.utils.renamed import renamed

__all__ = [
    "OUTPUTS",
    "Features",
    "LSINet",
    "LoadedModel",
    "PromptHead",
    "convert_released_state_dict",
    "create_network",
    "fuse_norms",
    "load_checkpoint",
    "reduce_mask",
    "save_checkpoint",
    "save_model",
]

if not TYPE_CHECKING:  # so that type checkers know all names
    __getattr__ = renamed(__name__, {"Checkpoint": "LoadedModel"})
