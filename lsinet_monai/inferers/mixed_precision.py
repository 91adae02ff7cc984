"""Mixed precision in training, on any device."""

from __future__ import annotations

from typing import Any, get_args

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.sequential import AmpDtype

__all__ = ["MixedPrecisionInferer"]


class MixedPrecisionInferer(SimpleInferer):
    """Run a network under autocast, and return its logits in float32, so that the loss is not rounded.

    MONAI's trainer has autocast on CUDA only, and always with a gradient scaler, which bfloat16 does not need. For
    float16 pass ``amp=True`` to the trainer to get the scaler. The deformable convolution and the memory read still
    compute in float32, on rounded offsets and keys.

    Args:
        amp_dtype: "bfloat16", or "float16", which needs CUDA; None for no autocast.
        device: the network's device.
        every_frame: segment all frames of a sample, see :meth:`lsinet_monai.networks.LSINet.forward`.

    Raises:
        InputError: another ``amp_dtype``, or float16 without CUDA.
    """

    def __init__(
        self, amp_dtype: AmpDtype | None = None, device: str | torch.device = "cpu", every_frame: bool = False
    ) -> None:
        super().__init__()
        self.options = {"every_frame": True} if every_frame else {}
        self.device_type = torch.device(device).type
        if amp_dtype not in (None, *get_args(AmpDtype)):
            raise InputError(f"amp_dtype={amp_dtype!r} must be one of {get_args(AmpDtype)}, or null for float32")
        if amp_dtype == "float16" and self.device_type != "cuda":
            raise InputError(
                f"amp_dtype='float16' trains on CUDA only, and device is {str(device)!r}: use bfloat16 or null"
            )
        self.amp_dtype = amp_dtype

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        """Call the network.

        Args:
            inputs: (B, 3, H, W), the frames.
            network: the network, on ``device``.
            args: further arguments of the network.
            kwargs: further arguments of the network, by name.

        Returns:
            the network's logits in float32, one tensor or several.
        """
        kwargs |= self.options
        if self.amp_dtype is None:
            return network(inputs, *args, **kwargs)
        with torch.autocast(self.device_type, getattr(torch, self.amp_dtype)):
            logits = network(inputs, *args, **kwargs)
        return logits.float() if isinstance(logits, Tensor) else tuple(logit.float() for logit in logits)
