"""Training that several ranks share: one network, one draw of samples, whole clips to validate (on :mod:`.ranks`)."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lsinet_monai.data import Clip
from lsinet_monai.errors import InputError
from lsinet_monai.utils import distributed as ranks
from lsinet_monai.workflow.checks import check_device

__all__ = [
    "average",
    "broadcast_buffers",
    "gather",
    "is_alone",
    "leave_to_first",
    "local_batch_size",
    "local_device",
    "share_clips",
    "share_network",
    "start",
]

_T = TypeVar("_T")


def is_alone() -> bool:
    """Whether this process trains by itself."""
    return not dist.is_initialized() or dist.get_world_size() == 1


def start(device: str | torch.device, sync_batchnorm: bool = False) -> None:
    """Join the other ranks, as ``torchrun`` started them; all but the first of them log warnings alone.

    Args:
        device: what this rank computes on.
        sync_batchnorm: whether :func:`share_network` will be asked for it.

    Raises:
        InputError: no ``torchrun`` started this process, this machine has no such device, or ``sync_batchnorm``
            without GPUs, on which alone PyTorch has it.
    """
    ranks.start()
    check_device(device)  # where more processes than GPUs were started, one of them has none
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif sync_batchnorm:
        raise InputError(f"sync_batchnorm=true needs GPUs, and device is {str(device)!r}: leave it out")
    if dist.get_rank() > 0:
        logging.disable(logging.INFO)


def local_device() -> torch.device:
    """The GPU that is this rank's on its machine; the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return torch.device("cpu")


def local_batch_size(batch_size: int) -> int:
    """A rank's share of a batch, so that all ranks' shares together are the batch that was asked for.

    Raises:
        InputError: the batch cannot be shared equally.
    """
    count = dist.get_world_size()
    if batch_size % count:
        raise InputError(
            f"batch_size={batch_size} is shared by {count} processes, and {count} does not divide it: "
            f"give batch_size={-(-batch_size // count) * count}"
        )
    return batch_size // count


def share_clips(clips: Sequence[Clip]) -> list[Clip]:
    """This rank's whole clips of those to validate; the ranks have about as many frames each.

    Where there are more ranks than clips a clip goes to several of them, so that every rank has something to run. That
    changes no mean: :class:`~lsinet_monai.metrics.ClipDice` averages over what it has of a clip first.
    """
    rank, count = dist.get_rank(), dist.get_world_size()
    by_length = sorted(clips, key=lambda clip: -len(clip["image"]))
    if rank >= len(by_length) > 0:
        return [by_length[rank % len(by_length)]]
    return by_length[rank::count]


def share_network(
    network: nn.Module, device: str | torch.device, sync_batchnorm: bool = False
) -> DistributedDataParallel:
    """Let all ranks train one network: they start from the first one's weights, and average their gradients.

    Gradients go by NCCL between GPUs, by Gloo otherwise.

    Args:
        network: on ``device``; ``sync_batchnorm`` replaces its layers in place.
        device: what this rank computes on.
        sync_batchnorm: let BatchNorm take its statistics over all ranks' batches; on GPUs only.
    """
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    group = dist.new_group(backend="nccl") if on_gpu and dist.is_nccl_available() else None
    if sync_batchnorm:
        # PyTorch's own conversion would lose the activations that timm keeps in its BatchNorm layers.
        network = convert_sync_batchnorm(network, group)
    return DistributedDataParallel(network, device_ids=[device] if on_gpu else None, process_group=group)


def broadcast_buffers(network: nn.Module) -> None:
    """Give all ranks the first one's buffers, the statistics of BatchNorm, which the last step left different."""
    for buffer in network.buffers():
        dist.broadcast(buffer, src=0)


def average(values: Tensor) -> Tensor:
    """Average a few numbers over the ranks.

    Args:
        values: detached; the same shape on all ranks.

    Returns:
        their mean, on the CPU.
    """
    values = values.to("cpu", copy=True)
    if not is_alone():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def leave_to_first() -> NoReturn:
    """End this rank, after the first one has ended by an error that both have, and that the first one says.

    Were this rank first to end, ``torchrun`` might end the other before it has said anything.

    Raises:
        SystemExit: always.
    """
    with contextlib.suppress(RuntimeError):
        dist.barrier()  # which the first rank never joins: this fails when it is gone
    raise SystemExit(1)


def gather(value: _T) -> list[_T]:
    """Every rank's value of something that can be pickled, in order."""
    if is_alone():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
