"""One step of a video as a pure function of tensors, for runtimes without Python."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.bad_frames import are_blank, leave_empty
from lsinet_monai.inferers.frame_step import segment_frame
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.inferers.scale_memory import ScaleMemory
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.networks.encoder import STRIDES
from lsinet_monai.utils.config_values import check_numbers

__all__ = ["StreamingStep"]

_PER_SCALE = ("keys", "values", "usage", "life")


class StreamingStep(nn.Module):
    """Segment the next frame of a video: takes the frame and the state, returns the logit and the next state.

    The logits are those of :class:`SequentialVideoInferer` with ``adjacent="previous"``, ``forgetting="usage"``, and
    without cuts. The module keeps nothing between frames: the caller passes the state on. All shapes are fixed, so
    that a step can be exported as one graph, see :func:`lsinet_monai.export.export_network`. The tensors of the state
    are, in the order of :attr:`state_names`:

    - ``frame_index`` (1,), int64: the number of frames so far; 0 starts a video, whatever the other tensors hold;
    - ``previous_8``, ``previous_16``, ``previous_32`` (1, 32, h, w): the features of the previous frame, by stride;
    - ``keys_8`` (1, N, 4), ``values_8`` (1, N, 16), ``usage_8`` (1, N), ``life_8`` (1, N), and the same for the other
      strides: the slots of the memory bank, see :class:`MemoryBank`. A slot with life 0 is empty.

    A step computes a write for every frame and keeps it for some, so it takes longer than the inferer. As in the
    inferer, a frame that is not finite is left empty (:data:`EMPTY_LOGIT`), and changes no other frame's logits.

    Args:
        network: in evaluation mode.
        image_size: the frames' height and width, 64 or more, or one number for both.
        memory_interval: write one frame in this many to the memory, starting with frame 0.
        memory_frames: the number of frames that the memory holds.

    Raises:
        InputError: ``memory_interval`` or ``memory_frames`` is less than 1, or ``image_size`` below 64.

    Source: LSI-Net (SALI), MICCAI 2024, section 2.
    """

    def __init__(
        self, network: LSINet, image_size: int | Sequence[int], memory_interval: int = 5, memory_frames: int = 35
    ) -> None:
        super().__init__()
        check_numbers(memory_interval=memory_interval, image_size=image_size)
        self.network = network
        self.image_size = ensure_tuple_rep(image_size, 2)
        self.memory_interval = memory_interval
        self.memory_frames = MemoryBank(memory_frames).memory_frames
        self.state_names = ["frame_index", *(f"previous_{stride}" for stride in STRIDES)]
        self.state_names += [f"{name}_{stride}" for stride in STRIDES for name in _PER_SCALE]

    @torch.no_grad()
    def new_state(self) -> tuple[Tensor, ...]:
        """The state before the first frame of a video.

        Returns:
            the tensors of :attr:`state_names`, all zeros, on the network's device.
        """
        weight = next(self.network.parameters())
        features = self.network.encode(weight.new_zeros(1, 3, *self.image_size))
        state = [torch.zeros(1, dtype=torch.int64, device=weight.device), *map(torch.zeros_like, features.features)]
        for key, value in zip(features.keys, features.values, strict=True):
            slots = self.memory_frames * key.shape[2] * key.shape[3]
            state += [key.new_zeros(1, slots, x.shape[1]) for x in (key, value)]
            state += [key.new_zeros(1, slots, dtype=torch.float32) for _ in range(2)]
        return tuple(state)

    @torch.no_grad()
    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Segment a frame.

        Args:
            frame: (1, 3, H, W), normalised, of ``image_size``.
            state: the tensors of :attr:`state_names`: the result of :meth:`new_state`, or the state that the previous
                frame's step returned.

        Returns:
            the logit (1, 1, H, W), and after it the tensors of the state for the next frame.

        Raises:
            InputError: the frame is of another size, or the state has another number of tensors.
        """
        if tuple(frame.shape) != (1, 3, *self.image_size) or len(state) != len(self.state_names):
            raise InputError(
                f"a step needs a frame {(1, 3, *self.image_size)} and {len(self.state_names)} tensors of the state, "
                f"got {tuple(frame.shape)} and {len(state)}"
            )
        index, previous, slots = state[0], state[1:4], state[4:]
        is_first = index == 0
        current = self.network.encode(frame)
        adjacent = Features(
            tuple(torch.where(is_first, x, y) for x, y in zip(current.features, previous, strict=True)), (), ()
        )
        scales = [ScaleMemory(*slots[at : at + 4]) for at in range(0, len(slots), 4)]
        # Without elements in memory, a first frame reads itself.
        scales = [x.empty(x.life.shape[1]).where(is_first, x) for x in scales]
        writes = (index % self.memory_interval == 0) & ~are_blank(frame)
        memory = MemoryBank.from_scales(scales, self.memory_frames)
        logits = segment_frame(current, adjacent, memory, self.network, True, writes)
        logit = leave_empty(self.network.upsample_logits(logits, frame.shape[-2:])[-1])
        return logit, index + 1, *current.features, *(x for scale in memory.scales for x in scale.tensors())
