"""The call of the network in a training on short clips: frame by frame through the memory, as at inference."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.inferers.adjacent import Adjacent, ClearestFrame, choose_adjacent
from lsinet_monai.inferers.frame_step import AmpDtype
from lsinet_monai.inferers.training import TrainingInferer
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.networks.encoder import STRIDES
from lsinet_monai.networks.memory import read_from, to_elements
from lsinet_monai.utils.config_values import check_choice, check_numbers

__all__ = ["FEATURE_KEYS", "ClipTrainingInferer"]

FEATURE_KEYS = ("image", *(f"features_{stride}" for stride in STRIDES[1:]))
"""The keys of an encoded clip's features at strides 8, 16 and 32."""

_Written = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""The keys and values of a frame in memory, three of (B, C, h, w) each."""


class ClipTrainingInferer(TrainingInferer):
    """Segment short clips as :class:`SequentialVideoInferer` does with ``memory_interval=1``, with gradients.

    Each frame reads all frames before it, whose values the network weights by its own masks. The last ``loss_frames``
    frames give logits. Gradients flow through what these frames write to what later ones of them read. The frames
    before them fill the memory, without gradients. One of these may have a given mask, as a frame that a person has
    corrected: its values are weighted by that, and its write has gradients too.

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

    def __call__(
        self,
        inputs: Tensor,
        network: nn.Module,
        *args: Any,
        given_mask: Tensor | None = None,
        given_frame: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        """Segment the last frames of clips.

        Args:
            inputs: (B, 3, T, H, W), frames as the network takes them, in the order of time. Or the features of frames
                that are encoded already, see :class:`StoredClips`: (B, T, 32, h, w), at stride 8.
            network: on ``device``. It is put in evaluation mode.
            args: not used.
            given_mask: (B, 1, H, W) in [0, 1], the mask of one frame of each clip; None for no given masks.
            given_frame: (B,), int64, the index of that frame, before the last ``loss_frames``; -1 for none.
            kwargs: for encoded frames, ``features_16`` and ``features_32``, at these strides, as ``inputs``.

        Returns:
            the four logits (S_g, S_5, S_4, S_3), each (B, ``loss_frames``, H, W), float32.
        """
        if not isinstance(network, LSINet):
            raise InputError(
                f"a training on clips takes an LSINet, not {type(network).__name__}: leave compile=true out, and train "
                "in one process"
            )
        coarser = [kwargs[key] for key in FEATURE_KEYS[1:] if key in kwargs]
        if inputs.ndim != 5 or inputs.shape[1 if coarser else 2] < self.loss_frames:
            raise InputError(
                f"clips must be a tensor (B, 3, T, H, W) of {self.loss_frames} frames or more, got "
                f"{tuple(inputs.shape)}: raise clip_frames, or lower loss_frames"
            )
        network.eval()
        with self.autocast():
            frames = _from_features((inputs, *coarser), network) if coarser else _encode(inputs, network)
            stride = STRIDES[0] if coarser else 1
            size = stride * inputs.shape[-2], stride * inputs.shape[-1]
            given = None if given_mask is None or given_frame is None else (given_mask, given_frame)
            logits = self._segment(frames, network, size, given)
        return tuple(torch.cat(frames, 1).float() for frames in zip(*logits, strict=True))

    def _segment(
        self, frames: list[Features], network: LSINet, size: tuple[int, int], given: tuple[Tensor, Tensor] | None
    ) -> list[tuple[Tensor, ...]]:
        first = len(frames) - self.loss_frames
        memory: list[_Written] = []
        clearest: ClearestFrame | None = None
        results = []
        for index, current in enumerate(frames):
            is_trained = index >= first
            with torch.set_grad_enabled(is_trained and torch.is_grad_enabled()):
                if is_trained:
                    current = _with_gradients(current, network)
                logits = network.decode(current, self._adjacent(frames, index, clearest), _read(current, memory))
                written = current.keys, network.values_for_memory(current, logits)
                if is_trained:
                    results.append(network.upsample_logits(logits, size))
            if given is not None and (given[1] == index).any():
                written = _write_given(current, network, written, given[0], given[1] == index)
            memory.append(written)
            if self.adjacent == "clearest":
                clearest = ClearestFrame.after(clearest, current)
        return results

    def _adjacent(self, frames: list[Features], index: int, clearest: ClearestFrame | None) -> Features:
        following = frames[index + 1] if self.adjacent != "previous" and index + 1 < len(frames) else None
        return choose_adjacent(frames[index], following, frames[index - 1] if index else None, clearest)


@torch.no_grad()
def _encode(clips: Tensor, network: LSINet) -> list[Features]:
    return network.encode(torch.cat(clips.unbind(2))).split(clips.shape[2])


@torch.no_grad()
def _from_features(features: tuple[Tensor, ...], network: LSINet) -> list[Features]:
    joined = tuple(x.transpose(0, 1).flatten(0, 1) for x in features)
    return Features(joined, *network.keys_and_values(joined)).split(features[0].shape[1])


def _with_gradients(frame: Features, network: LSINet) -> Features:
    return Features(frame.features, *network.keys_and_values(frame.features))


def _write_given(frame: Features, network: LSINet, written: _Written, given_mask: Tensor, is_given: Tensor) -> _Written:
    """What is written of a frame with a given mask in the rows ``is_given`` (B,), and as before in the others."""
    frame = _with_gradients(frame, network)
    by_mask = frame.keys, network.values_by_mask(frame, given_mask)
    rows = is_given[:, None, None, None]
    keys, values = (
        tuple(torch.where(rows, new, old) for new, old in zip(*kind, strict=True))
        for kind in zip(by_mask, written, strict=True)
    )
    return keys, values


def _read(current: Features, memory: list[_Written]) -> tuple[Tensor, ...]:
    """Read all frames in memory, pairs of keys and values; without any, the frame reads itself."""
    if not memory:
        return current.read_own()
    keys, values = (
        [torch.cat([to_elements(x) for x in scale], 1) for scale in zip(*frames, strict=True)]
        for frames in zip(*memory, strict=True)
    )
    return read_from(current.keys, keys, values)
