"""The two computations of a frame: encode it, and segment it with the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lsinet_monai.inferers.bad_frames import finite_or_own
from lsinet_monai.inferers.input_checks import check_frame_tensors, check_network
from lsinet_monai.inferers.memory_bank import MemoryBank
from lsinet_monai.networks import Features, LSINet

__all__ = ["AmpDtype", "encode_frames", "segment_frame"]

AmpDtype = Literal["bfloat16", "float16"]


def encode_frames(frames: Sequence[Tensor], network: LSINet, amp_dtype: AmpDtype | None = None) -> list[Features]:
    """Encode frames in one pass.

    Args:
        frames: each (B, 3, H, W), of one size; for B clips, one frame per clip.
        network: in evaluation mode.
        amp_dtype: the type in which the backbone computes, see :meth:`LSINet.encode`; float32 if not given.

    Returns:
        for each frame its features, a batch of B.

    Raises:
        InputError: the network is in training mode or not an LSINet; or there are no frames, or their shapes differ.
            See also :meth:`LSINet.encode`.
    """
    check_network(network)
    check_frame_tensors(frames)
    features = network.encode(torch.cat(list(frames)), getattr(torch, amp_dtype) if amp_dtype else None)
    return features.split(len(frames))


def segment_frame(
    current: Features,
    adjacent: Features,
    memory: MemoryBank,
    network: LSINet,
    write: bool,
    usable: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Segment one encoded frame: read the memory, decode, and write to the memory if ``write``.

    With a full memory no shape changes from frame to frame, so ``torch.compile(segment_frame, fullgraph=True)``
    compiles it once.

    Args:
        current: the frame to segment.
        adjacent: the frame next to it in time. If it is not finite, the frame itself takes its place.
        memory: the clip's memory bank.
        network: in evaluation mode.
        write: whether to add the frame to the memory.
        usable: (B,), bool: of which clips; of all if not given. See :meth:`MemoryBank.write`.

    Returns:
        the four logits of :meth:`LSINet.decode`.
    """
    logits = network.decode(current, finite_or_own(adjacent, current), memory.read(current))
    if write:
        memory.write(current.keys, network.values_for_memory(current, logits), usable=usable)
    return logits
