"""Losses."""

from .lsinet_loss import LSINetLoss

__all__ = ["LSINetLoss"]
