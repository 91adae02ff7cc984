"""The training loss."""

from lsinet_monai.losses.lsinet_loss import LSINetLoss

__all__ = ["LSINetLoss"]
