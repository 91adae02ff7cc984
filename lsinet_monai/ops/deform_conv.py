"""Modulated deformable convolution, behind one function."""

from __future__ import annotations

from torchvision.ops import deform_conv2d

__all__ = ["deform_conv2d"]
