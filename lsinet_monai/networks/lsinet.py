"""LSI-Net: what it computes for one frame. Time, and the memory bank, are in ``lsinet_monai.inferers``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.errors import InputError
from lsinet_monai.ops import read_memory

from .alignment import Alignment
from .blocks import upsample
from .decoder import Decoder
from .encoder import STRIDES, Encoder
from .harmonisation import Harmonisation
from .memory import KeysAndValues, to_elements, weight_values

__all__ = ["OUTPUTS", "Features", "LSINet"]

OUTPUTS = ("S_g", "S_5", "S_4", "S_3")
"""The names of the network's four outputs, coarse to fine; the last is the prediction."""

MIN_SIZE = 64


class Features(NamedTuple):
    """What the network keeps of a frame once it is encoded; a tuple of three per entry, strides 8, 16, 32."""

    maps: tuple[Tensor, ...]
    """(B, 32, h, w): the encoder's features."""
    keys: tuple[Tensor, ...]
    """(B, 4, h, w)."""
    values: tuple[Tensor, ...]
    """(B, 16, h, w), not weighted by any mask."""

    def read_own(self) -> tuple[Tensor, ...]:
        """Let the frame read itself, as the first frame of a clip does: three of (B, 16, h, w)."""
        return read_from(self.keys, [to_elements(k) for k in self.keys], [to_elements(v) for v in self.values])


def read_from(queries: Sequence[Tensor], keys: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Read, per scale, elements (B, N, 4) and (B, N, 16) for queries (B, 4, h, w): three of (B, 16, h, w)."""
    reads = [read_memory(to_elements(q), k, v).values for q, k, v in zip(queries, keys, values, strict=True)]
    return tuple(r.transpose(1, 2).unflatten(2, q.shape[-2:]) for r, q in zip(reads, queries, strict=True))


def _join_scales(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Make one batch of several, scale by scale."""
    return tuple(torch.cat(scale) for scale in zip(*parts, strict=True))


def _join(parts: Sequence[Features]) -> Features:
    """Make one batch of several."""
    return Features(*(_join_scales(kind) for kind in zip(*parts, strict=True)))


class LSINet(nn.Module):
    """Polyp segmentation of a video frame from a short-term and a long-term cue.

    The short-term cue is the adjacent frame, the long-term cue a memory of earlier frames' keys, values and masks.
    Both are aligned to the current frame by a pyramid of deformable convolutions, harmonised, and decoded into four
    mask logits, coarse to fine. The network has no state but its parameters: :meth:`encode` a frame once, read a
    memory with its keys, and :meth:`decode`; :class:`lsinet_monai.inferers.SequentialVideoInferer` does it for clips.

    Frames are RGB, scaled to [0, 1] and normalised with ImageNet's mean and standard deviation; any height and width
    of 64 or more. Sizes that 32 does not divide are padded inside (the border repeated, at the right and the bottom),
    and results are cropped back.

    Args:
        backbone: any timm model with stages at strides 8, 16 and 32; its channels are read from timm.
        pretrained: start the backbone from timm's ImageNet weights, from its cache or by download.
        encoder_weights: start it from this file instead, in timm's or in the official PVTv2's or Res2Net's names.
        drop_path_rate: stochastic depth of the backbone in training; as released 0.3.

    Raises:
        InputError: a backbone that timm does not have or without these strides; weights that are not to be had.

    Source: LSI-Net, published as SALI: Hu et al., MICCAI 2024, arXiv 2406.13532.
    """

    def __init__(
        self,
        backbone: str = "pvt_v2_b5",
        pretrained: bool = False,
        encoder_weights: str | Path | None = None,
        drop_path_rate: float = 0.3,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"backbone": backbone, "drop_path_rate": drop_path_rate}
        self.encoder = Encoder(backbone, pretrained, encoder_weights, drop_path_rate)
        self.keys_and_values = KeysAndValues()
        self.alignment = Alignment()
        self.harmonisation = Harmonisation()
        self.decoder = Decoder()

    def encode(self, frames: Tensor, amp_dtype: torch.dtype | None = None) -> Features:
        """Encode frames.

        Args:
            frames: (B, 3, H, W), normalised, H and W of 64 or more.
            amp_dtype: let the backbone, which is nearly all of the work, compute in ``torch.bfloat16`` or
                ``torch.float16`` beyond stride 8. The features are float32 all the same.

        Raises:
            InputError: a frame smaller than 64 pixels on a side, not of three channels, or not of the one size that
                this backbone takes.
        """
        if frames.ndim != 4 or frames.shape[1] != 3 or min(frames.shape[-2:]) < MIN_SIZE:
            raise InputError(
                f"frames (B, 3, H, W) with H and W of {MIN_SIZE} or more are needed, got {tuple(frames.shape)}"
            )
        stride = STRIDES[-1]
        height, width = frames.shape[-2:]
        if self.encoder.fixed_size not in (None, (height, width)):
            raise InputError(
                f"backbone={self.config['backbone']!r} takes frames of {self.encoder.fixed_size} only, got "
                f"{height, width}: set image_size to that, or choose another backbone"
            )
        if height % stride or width % stride:
            frames = F.pad(frames, (0, -width % stride, 0, -height % stride), mode="replicate")
        maps = self.encoder(frames, amp_dtype)
        return Features(maps, *self.keys_and_values(maps))

    def decode(
        self, current: Features, adjacent: Features, read: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Segment an encoded frame.

        Args:
            current: the frame to segment.
            adjacent: the frame beside it, in time.
            read: what the current frame's keys read from memory, three of (B, 16, h, w).

        Returns:
            the logits (S_g, S_5, S_4, S_3), each (B, 1, h, w) at strides 8, 32, 16, 8 of the padded frame; the last
            is the prediction. :meth:`upsample_logits` brings them to the frame's size.
        """
        memory = tuple(torch.cat(pair, 1) for pair in zip(read, current.values, strict=True))
        # Memory and adjacent frame go through the alignment as one batch: it has the same weights for both.
        source = tuple(torch.cat(pair) for pair in zip(memory, adjacent.maps, strict=True))
        reference = tuple(torch.cat([x, x]) for x in current.maps)
        aligned = self.alignment(source, reference)
        batch = current.maps[0].shape[0]
        return self.decoder(self.harmonisation(tuple(x[:batch] for x in aligned), tuple(x[batch:] for x in aligned)))

    @staticmethod
    def weight_values(features: Features, logits: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Weight a decoded frame's values by its own logits, for the memory: three of (B, 16, h, w)."""
        s_3, s_4, s_5 = logits[3], logits[2], logits[1]
        return tuple(weight_values(v, s) for v, s in zip(features.values, (s_3, s_4, s_5), strict=True))

    @staticmethod
    def upsample_logits(logits: Sequence[Tensor], size: tuple[int, int] | torch.Size) -> tuple[Tensor, ...]:
        """Bring the four logits of :meth:`decode` to a frame's size (H, W), bilinearly: each (B, 1, H, W)."""
        height, width = size
        return tuple(
            upsample(x, stride)[..., :height, :width] for x, stride in zip(logits, (8, 32, 16, 8), strict=True)
        )

    def forward(
        self,
        current: Tensor,
        adjacent: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        every_frame: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Segment a frame by itself, or beside an adjacent frame and with one frame in memory, as in training.

        Args:
            current: (B, 3, H, W), the frame to segment.
            adjacent: (B, 3, H, W); the current frame if not given.
            memory: (B, 3, H, W), the frame in memory; the current frame if not given.
            memory_mask: (B, 1, H, W) in [0, 1], the ground truth of the memory frame, which weights its values; they
                stay as they are if not given.
            every_frame: segment the adjacent and the memory frame too, which costs less than to encode them. Both have
                the current frame beside them, however far from the memory frame it is; the adjacent frame reads the
                memory frame, and that one itself, as a clip's first frame does.

        Returns:
            for a lone frame the logit (B, 1, H, W); with any other argument the four logits (S_g, S_5, S_4, S_3),
            coarse to fine, each (B, 1, H, W), the last of which is the prediction. With ``every_frame`` they are
            (B, 3, H, W), of the current, the adjacent and the memory frame.
        """
        size = current.shape[-2:]
        features = self.encode(current)
        if adjacent is None and memory is None and memory_mask is None and not every_frame:
            logits = self.decode(features, features, features.read_own())
            return self.upsample_logits(logits, size)[-1]
        beside = features if adjacent is None else self.encode(adjacent)
        remembered = features if memory is None else self.encode(memory)
        values = remembered.values
        if memory_mask is not None:
            values = self._weight_by_truth(values, memory_mask)
        memory_elements = [to_elements(k) for k in remembered.keys], [to_elements(v) for v in values]
        read = read_from(features.keys, *memory_elements)
        if not every_frame:
            return self.upsample_logits(self.decode(features, beside, read), size)
        reads = [read, read_from(beside.keys, *memory_elements), remembered.read_own()]
        logits = self.decode(
            _join([features, beside, remembered]), _join([beside, features, features]), _join_scales(reads)
        )
        return tuple(x.unflatten(0, (3, -1))[:, :, 0].transpose(0, 1) for x in self.upsample_logits(logits, size))

    @staticmethod
    def _weight_by_truth(values: tuple[Tensor, ...], mask: Tensor) -> tuple[Tensor, ...]:
        stride = STRIDES[-1]
        mask = F.pad(mask, (0, -mask.shape[-1] % stride, 0, -mask.shape[-2] % stride))
        return tuple(weight_values(v, mask) for v in values)
