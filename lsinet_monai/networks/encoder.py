"""The encoder: a timm backbone and one receptive-field block per scale."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lsinet_monai.errors import InputError
from lsinet_monai.networks.blocks import ConvNorm
from lsinet_monai.networks.encoder_weights import load_encoder_weights
from lsinet_monai.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD, create_renormalisation

__all__ = ["CHANNELS", "STRIDES", "Encoder", "ReceptiveFieldBlock", "create_backbone"]

logger = logging.getLogger(__name__)

STRIDES = (8, 16, 32)
CHANNELS = 32


class ReceptiveFieldBlock(nn.Module):
    """Join four branches with growing receptive fields, and add a shortcut.

    Args:
        in_channels: the channels of the backbone's feature.
        channels: the channels of the result.

    Source: Liu et al., Receptive Field Block Net, ECCV 2018, arranged as in PraNet (Fan et al., MICCAI 2020).
    """

    def __init__(self, in_channels: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(ConvNorm(in_channels, channels, 1))])
        for reach in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    ConvNorm(in_channels, channels, 1),
                    ConvNorm(channels, channels, (1, reach)),
                    ConvNorm(channels, channels, (reach, 1)),
                    ConvNorm(channels, channels, 3, dilation=reach),
                )
            )
        self.join = ConvNorm(4 * channels, channels, 3)
        self.shortcut = ConvNorm(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, h, w) -> (B, 32, h, w), 0 or more."""
        joined = self.join(torch.cat([branch(x) for branch in self.branches], 1))
        return torch.relu(joined + self.shortcut(x))


def create_backbone(
    name: str, pretrained: bool = False, encoder_weights: str | Path | None = None, drop_path_rate: float = 0.0
) -> nn.Module:
    """Create a timm feature extractor.

    Args:
        name: any timm model with stages at strides 8, 16 and 32.
        pretrained: load timm's ImageNet weights, from its cache or by download.
        encoder_weights: load this file instead; see :func:`load_encoder_weights` for the names that it may have.
        drop_path_rate: the rate of stochastic depth, in [0, 1), for the models that have it.

    Returns:
        a module from frames (B, 3, H, W) to a list of features (B, C, H / stride, W / stride), one per stage.

    Raises:
        InputError: timm has no such model, the file does not fit it, or timm's weights cannot be loaded.
    """
    if not timm.is_model(name):
        similar = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:8]) or "one of timm.list_models()"
        raise InputError(f"backbone={name!r} is not a model of timm: choose another, such as {similar}")
    if encoder_weights:
        features = _create_features(name, False, drop_path_rate)
        load_encoder_weights(features, name, Path(encoder_weights))
        return features
    if not pretrained:
        return _create_features(name, False, drop_path_rate)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # It reports each of its many retries twice.
    logger.info(f"loading timm's pretrained weights for {name}")
    try:
        return _create_features(name, True, drop_path_rate)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"pretrained=true, but timm's weights for {name!r} are not in its cache and cannot be downloaded "
            f"({reason}): go online, or pass encoder_weights=FILE with names as in timm or in the official PVTv2 or "
            "Res2Net, or pass pretrained=false to start from random weights"
        ) from error
    finally:
        hub.setLevel(level)


def _create_features(name: str, pretrained: bool, drop_path_rate: float) -> nn.Module:
    options: dict[str, Any] = {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is not None and config.fixed_input_size:
        options["strict_img_size"] = False
    while True:
        try:
            features = timm.create_model(name, features_only=True, pretrained=pretrained, **options)
        except TypeError as error:
            refused = next((option for option in options if option in str(error)), None)
            if refused is None:
                raise
            del options[refused]
            if refused == "drop_path_rate":
                logger.info(f"{name} has no stochastic depth: drop_path_rate={drop_path_rate} has no effect")
        else:
            is_fixed = config is not None and config.fixed_input_size and "strict_img_size" not in options
            features.fixed_size = tuple(config.input_size[1:]) if is_fixed else None
            return features


class Encoder(nn.Module):
    """Encode a frame into features at strides 8, 16 and 32, with 32 channels each.

    Args:
        backbone: see :class:`LSINet`.
        pretrained: see :class:`LSINet`.
        encoder_weights: see :class:`LSINet`.
        drop_path_rate: see :class:`LSINet`.
        mean: the mean with which the backbone's frames are normalised. The encoder converts its frames, which are
            normalised with ImageNet's statistics.
        std: the standard deviation that belongs to it.

    Raises:
        InputError: see :func:`create_backbone`; or the backbone lacks one of the strides.

    Source: LSI-Net (SALI), MICCAI 2024, section 2 (PVTv2: Wang et al., 2022; Res2Net: Gao et al., 2021).
    """

    def __init__(
        self,
        backbone: str,
        pretrained: bool,
        encoder_weights: str | Path | None,
        drop_path_rate: float,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.renormalise = create_renormalisation(mean, std)
        self.backbone = create_backbone(backbone, pretrained, encoder_weights, drop_path_rate)
        info: Any = self.backbone.feature_info
        strides = list(info.reduction())
        if missing := [stride for stride in STRIDES if stride not in strides]:
            raise InputError(
                f"backbone={backbone!r} has stages at strides {strides} and none at {missing}: "
                f"choose one with strides {', '.join(map(str, STRIDES[:-1]))} and {STRIDES[-1]}"
            )
        # Some backbones have several stages of one stride: take the deepest.
        self.stages = [max(i for i, s in enumerate(strides) if s == stride) for stride in STRIDES]
        channels = info.channels()
        self.last_fine = _find_last_fine(self.backbone)
        # Height and width of the only frames that the backbone takes; None for nearly all backbones.
        self.fixed_size: tuple[int, int] | None = self.backbone.fixed_size  # type: ignore[assignment]
        self.channels_last = str(getattr(self.backbone, "output_fmt", "NCHW")).endswith("NHWC")
        self.receptive_field = nn.ModuleList([ReceptiveFieldBlock(channels[stage]) for stage in self.stages])

    @property
    def sees_single_frames(self) -> bool:
        """Whether the backbone's features of a frame do not depend on the other frames of its batch."""
        return not (self.training and any(isinstance(module, _BatchNorm) for module in self.backbone.modules()))

    def forward(self, frames: Tensor, amp_dtype: torch.dtype | None = None, batches: int = 1) -> tuple[Tensor, ...]:
        """Encode frames.

        Args:
            frames: (B, 3, H, W), normalised with ImageNet's statistics, with H and W multiples of 32.
            amp_dtype: the type in which the backbone computes, on a CPU beyond stride 8 only; the type of ``frames``
                if not given.
            batches: the number of batches that ``frames`` joins, for which training computes BatchNorm's statistics
                one by one. The backbone must then be one that :attr:`sees_single_frames`.

        Returns:
            the features at strides 8, 16 and 32: three of (B, 32, H / stride, W / stride), 0 or more.
        """
        frames = self.renormalise(frames)
        if amp_dtype is None:
            features = self.backbone(frames)
        else:
            features = [feature.to(frames.dtype) for feature in self._forward_in(amp_dtype, frames)]
        if self.channels_last:
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        chunks = [features[stage].chunk(batches) for stage in self.stages]
        blocks = zip(self.receptive_field, chunks, strict=True)
        return tuple(torch.cat([block(chunk) for chunk in parts]) for block, parts in blocks)

    def _forward_in(self, amp_dtype: torch.dtype, frames: Tensor) -> list[Tensor]:
        """Run the backbone's stages up to stride 8 in float32, and its coarser stages under autocast; on a GPU all.

        The fine stages are a small part of the work, and the masks' outlines come from them. In bfloat16, the masks of
        the demo's network then have a mean Dice of 0.995 with those in float32. It is 0.990 if stride 8 is in bfloat16
        too, and 0.986 if all stages are.
        """
        device = frames.device.type
        whole = self.last_fine is None or device == "cuda"
        with torch.autocast(device, amp_dtype, enabled=whole):
            if self.last_fine is None or whole:
                return self.backbone(frames)
            fine = self.backbone.get_submodule(self.last_fine)
            hook = fine.register_forward_hook(lambda *_: torch.set_autocast_enabled(device, True))
            try:
                return self.backbone(frames)
            finally:
                hook.remove()


def _find_last_fine(backbone: nn.Module) -> str | None:
    """The name of the last module at stride 8 or finer that gives a feature; None if timm does not name it."""
    info: Any = backbone.feature_info
    fine = [name for name, stride in zip(info.module_name(), info.reduction(), strict=True) if stride <= STRIDES[0]]
    modules = dict(backbone.named_modules())
    # timm writes "_" for "." in some feature extractors, and prefixes the names of others with "model.".
    found = [x for name in fine for x in (name, name.replace(".", "_"), f"model.{name}") if x in modules]
    return found[-1] if found else None
