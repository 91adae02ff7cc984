"""The networks, frames and runs that the benchmarks of a video frame have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from monai.utils import ensure_tuple_rep
from released import ReleasedProcedure
from torch import Tensor, nn
from tqdm import tqdm

from lsinet_monai.data import frames_to_tensor, phantom_clip
from lsinet_monai.inferers import MemoryBank, SequentialVideoInferer
from lsinet_monai.inferers.sequential import AmpDtype
from lsinet_monai.networks import Features, LSINet

MEMORY = 35
INTERVAL = 5
DTYPES = get_args(AmpDtype)


def make_network(backbone: str, default_layout: bool = False) -> LSINet:
    """Make a network whose weights are all random: zero offsets would all read from the same place.

    Its backbone is in channels_last, as in a network from ``load_checkpoint``, or in PyTorch's default layout.
    """
    torch.manual_seed(0)
    network = LSINet(backbone, drop_path_rate=0.0).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    if not default_layout:
        network.encoder.backbone.to(memory_format=torch.channels_last)
    return network


def make_frames(
    count: int, size: int | Sequence[int], seed: int = 0, made_size: tuple[int, int] | None = None
) -> list[Tensor]:
    """Make phantom frames as input of the network, each (1, 3, height, width); of ``made_size`` before resizing."""
    height, width = made_size or ensure_tuple_rep(size, 2)
    frames = tqdm(phantom_clip(count, (height, width), seed), "phantom", count, leave=False)
    return list(frames_to_tensor([frame for frame, _ in frames], size).unsqueeze(0).unbind(2))


def fill(memory: MemoryBank | ReleasedProcedure, features: list[Features], frames: int) -> None:
    """Write a number of frames to a memory."""
    for frame in itertools.islice(itertools.cycle(features), frames):
        memory.write(frame.keys, frame.values)


def make_engine(
    network: LSINet,
    frames: list[Tensor],
    features: list[Features],
    memory_frames: int,
    inferer_class: type[SequentialVideoInferer] = SequentialVideoInferer,
    **options: Any,
) -> Callable[[], Any]:
    """Return a function that segments one encoder batch of an endless clip, with a full memory."""
    inferer = inferer_class(INTERVAL, memory_frames, **options)
    state = inferer.new_state()
    fill(state.memory, features, memory_frames)
    stream = inferer.stream(itertools.cycle(frames), network, state)
    return lambda: list(itertools.islice(stream, inferer.encode_batch))


def make_released(
    network: LSINet, frames: list[Tensor], features: list[Features], memory_frames: int
) -> Callable[[], Any]:
    """Return a function that segments the next frame of an endless clip, with a number of frames in memory."""
    procedure = ReleasedProcedure(network)
    fill(procedure, features, memory_frames)
    pairs = itertools.pairwise(itertools.cycle(frames))
    return lambda: procedure.segment(*next(pairs), write=False)


@torch.no_grad()
def dice_to_float32(network: LSINet, clip: Tensor) -> dict[str, Tensor]:
    """Segment a clip (1, 3, T, H, W) in each dtype: per frame, the Dice of its mask with that of float32."""
    expected = SequentialVideoInferer()(clip, network)[0, 0] > 0
    scores = {}
    for dtype in DTYPES:
        found = SequentialVideoInferer(encode_batch=8, amp_dtype=dtype)(clip, network)[0, 0] > 0
        pixels = (expected.sum((1, 2)) + found.sum((1, 2))).double()
        scores[dtype] = torch.where(pixels > 0, 2 * (expected & found).sum((1, 2)) / pixels, 1.0)
    return scores
