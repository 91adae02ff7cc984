"""The call of the network in a training step: which frames it segments, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.sequential import AmpDtype
from lsinet_monai.networks.half_precision import warn_of_slow_bfloat16
from lsinet_monai.utils.config_values import as_bool, check_choice

__all__ = ["TrainingInferer"]


class TrainingInferer(SimpleInferer):
    """Segment the frames of samples, under autocast if asked for. Logits are float32, so that the loss is not rounded.

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
        self.every_frame = as_bool(every_frame, "every_frame")
        self.device_type = torch.device(device).type
        check_choice((*get_args(AmpDtype), None), amp_dtype=amp_dtype)
        if amp_dtype == "float16" and self.device_type != "cuda":
            raise InputError(
                f"amp_dtype='float16' trains on CUDA only, and device is {str(device)!r}: use bfloat16 or null"
            )
        self.amp_dtype = amp_dtype
        warn_of_slow_bfloat16(amp_dtype, self.device_type)

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its inferer, by config key."""
        return {"amp_dtype": self.amp_dtype, "every_frame": self.every_frame}

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the network computes."""
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, getattr(torch, self.amp_dtype))

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
        if self.every_frame:
            kwargs["every_frame"] = True
        if self.amp_dtype is None:
            return network(inputs, *args, **kwargs)
        with self.autocast():
            logits = network(inputs, *args, **kwargs)
        return logits.float() if isinstance(logits, Tensor) else tuple(logit.float() for logit in logits)
