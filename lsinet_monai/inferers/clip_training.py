"""The call of the network in a training on short clips: frame by frame through the memory, as at inference."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.frame_step import AmpDtype
from lsinet_monai.inferers.sequential import Adjacent
from lsinet_monai.inferers.training import TrainingInferer
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.networks.encoder import STRIDES
from lsinet_monai.networks.memory import read_from, to_elements
from lsinet_monai.utils.config_values import check_choice, check_numbers

__all__ = ["ClipTrainingInferer"]


class ClipTrainingInferer(TrainingInferer):
    """Segment short clips as :class:`SequentialVideoInferer` does with ``memory_interval=1``, with gradients.

    Each frame reads all frames before it, whose values the network weights by its own masks. The last ``loss_frames``
    frames give logits. Gradients flow through what these frames write to what later ones of them read. The frames
    before them fill the memory, without gradients.

    The encoder stays as it is: no gradient reaches it. All normalisation uses its running statistics, as at inference,
    so a batch may be as small as one clip.

    Args:
        loss_frames: the number of frames that train: with 3, gradients flow through two writes.
        adjacent: which frame is adjacent, see :class:`SequentialVideoInferer`.
        amp_dtype: see :class:`TrainingInferer`.
        device: the network's device.

    Raises:
        InputError: an argument has a value that it does not take; on a call, the network is not an :class:`LSINet`, or
            the clips are no tensor (B, 3, T, H, W) of ``loss_frames`` frames or more.

    Source: training on short clips with memory, as in STM (Oh et al., ICCV 2019) and XMem (Cheng and Schwing, ECCV
    2022); truncated backpropagation through time.
    """

    def __init__(
        self,
        loss_frames: int = 3,
        adjacent: Adjacent = "next",
        amp_dtype: AmpDtype | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(amp_dtype, device)
        check_numbers(loss_frames=loss_frames)
        check_choice(get_args(Adjacent), adjacent=adjacent)
        self.loss_frames = loss_frames
        self.adjacent = adjacent

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its inferer, by config key."""
        return {"amp_dtype": self.amp_dtype, "loss_frames": self.loss_frames, "adjacent": self.adjacent}

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Segment the last frames of clips.

        Args:
            inputs: (B, 3, T, H, W), frames as the network takes them, in the order of time. Or the features of frames
                that are encoded already, see :class:`StoredClips`: (B, T, 32, h, w), at stride 8.
            network: on ``device``. It is put in evaluation mode.
            args: for encoded frames, their features at strides 16 and 32, as ``inputs``.
            kwargs: not used.

        Returns:
            the four logits (S_g, S_5, S_4, S_3), each (B, ``loss_frames``, H, W), float32.
        """
        if not isinstance(network, LSINet):
            raise InputError(
                f"a training on clips takes an LSINet, not {type(network).__name__}: leave compile=true out, and train "
                "in one process"
            )
        if inputs.ndim != 5 or inputs.shape[1 if args else 2] < self.loss_frames:
            raise InputError(
                f"clips must be a tensor (B, 3, T, H, W) of {self.loss_frames} frames or more, got "
                f"{tuple(inputs.shape)}: raise clip_frames, or lower loss_frames"
            )
        network.eval()
        with self.autocast():
            frames = _from_features((inputs, *args), network) if args else _encode(inputs, network)
            stride = STRIDES[0] if args else 1
            logits = self._segment(frames, network, (stride * inputs.shape[-2], stride * inputs.shape[-1]))
        return tuple(torch.cat(frames, 1).float() for frames in zip(*logits, strict=True))

    def _segment(self, frames: list[Features], network: LSINet, size: tuple[int, int]) -> list[tuple[Tensor, ...]]:
        first = len(frames) - self.loss_frames
        memory: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = []
        results = []
        for index, current in enumerate(frames):
            is_trained = index >= first
            with torch.set_grad_enabled(is_trained and torch.is_grad_enabled()):
                if is_trained:
                    current = Features(current.features, *network.keys_and_values(current.features))
                logits = network.decode(current, self._adjacent(frames, index), _read(current, memory))
                memory.append((current.keys, network.values_for_memory(current, logits)))
                if is_trained:
                    results.append(network.upsample_logits(logits, size))
        return results

    def _adjacent(self, frames: list[Features], index: int) -> Features:
        """The adjacent frame; at a clip's end the one on its other side, and for a single frame the frame itself."""
        if self.adjacent == "next" and index + 1 < len(frames):
            return frames[index + 1]
        return frames[max(index - 1, 0)]


@torch.no_grad()
def _encode(clips: Tensor, network: LSINet) -> list[Features]:
    return network.encode(torch.cat(clips.unbind(2))).split(clips.shape[2])


@torch.no_grad()
def _from_features(features: tuple[Tensor, ...], network: LSINet) -> list[Features]:
    joined = tuple(x.transpose(0, 1).flatten(0, 1) for x in features)
    return Features(joined, *network.keys_and_values(joined)).split(features[0].shape[1])


def _read(current: Features, memory: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]) -> tuple[Tensor, ...]:
    """Read all frames in memory, pairs of keys and values; without any, the frame reads itself."""
    if not memory:
        return current.read_own()
    keys, values = (
        [torch.cat([to_elements(x) for x in scale], 1) for scale in zip(*frames, strict=True)]
        for frames in zip(*memory, strict=True)
    )
    return read_from(current.keys, keys, values)
