"""Runs that several processes share, as ``torchrun`` starts them: joining, agreeing, exchanging values, leaving.

A process is a rank; a process without others is rank 0 of 1. Ignite's ``idist`` counts ranks and gathers objects.
Numbers and buffers travel by ``torch.distributed`` itself, because ``idist`` would move them to the GPU and back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from datetime import timedelta
from types import TracebackType
from typing import NoReturn, TypeVar

import ignite.distributed as idist
import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, check_numbers
from lsinet_monai.utils.cores import available_cores

__all__ = [
    "agree",
    "average",
    "broadcast_buffers",
    "check_sync_batchnorm",
    "collect",
    "exit_after_first_rank",
    "gather",
    "join",
    "leave",
    "local_batch_size",
    "local_cores",
    "local_device",
    "share_network",
]

_T = TypeVar("_T")

# A rank may finish its videos days before the last one.
_LONGEST_WAIT = timedelta(days=30)

_is_agreed = False


def join() -> None:
    """Join the other ranks. Call it after :func:`lsinet_monai.utils.error_line.report_input_errors_in_one_line`.

    All ranks but the first log warnings only. Until :func:`agree`, the first rank alone reports an error that several
    ranks meet, such as a missing input.

    Raises:
        InputError: ``torchrun`` did not start this process.
    """
    if dist.is_initialized():
        return
    if "RANK" not in os.environ:
        raise InputError(
            "a multi_gpu config is for several processes: start them by torchrun --nproc_per_node N -m ..."
        )
    # Gloo, because ranks exchange a few words and numbers, which are on the CPU even if the ranks compute on GPUs.
    dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
    if (device := local_device()).index is not None and device.index < torch.cuda.device_count():
        torch.cuda.set_device(device)
    idist.sync()  # now, because ranks exchange messages in it, so all of them must be at the same point
    if dist.get_rank() > 0:
        logging.disable(logging.INFO)
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _is_agreed:
            print(file=sys.__stderr__, flush=True)  # another rank's progress bar may be in this line
        if _is_agreed or _exchange(True).index(True) == dist.get_rank():
            previous(kind, error, trace)

    hook.reports_input_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def agree() -> None:
    """Wait until every rank is ready to begin.

    Raises:
        SystemExit: a rank has ended and reported an error.
    """
    global _is_agreed
    if any(_exchange(False)):
        raise SystemExit(1)
    _is_agreed = True


def collect(found: dict[str, _T]) -> dict[str, _T]:
    """Merge the ranks' findings at the end of a run.

    Args:
        found: this rank's findings, by clip.

    Returns:
        the findings of all ranks on the first rank, nothing on the others.

    Raises:
        SystemExit: a rank has ended and reported an error.
    """
    everything: dict[str, _T] = {}
    for part in _exchange(found):
        everything |= part
    return everything if dist.get_rank() == 0 else {}


def leave() -> None:
    """Leave the other ranks."""
    dist.destroy_process_group()


def exit_after_first_rank() -> NoReturn:
    """Exit after rank 0 has reported the shared error.

    Were this rank the first to exit, ``torchrun`` might stop rank 0 before it reports.

    Raises:
        SystemExit: always.
    """
    with contextlib.suppress(RuntimeError):
        idist.barrier()  # rank 0 never joins it, so this fails when rank 0 is gone
    raise SystemExit(1)


def gather(value: _T) -> list[_T]:
    """Gather a picklable value from every rank, in the order of the ranks."""
    # In a tuple, since idist moves numbers and tensors to the GPU, and would concatenate the tensors.
    return [item for (item,) in idist.all_gather((value,))]


def average(values: Tensor) -> Tensor:
    """Average a few numbers over the ranks.

    Args:
        values: detached; the same shape on all ranks.

    Returns:
        their mean, on the CPU.
    """
    values = values.to("cpu", copy=True)
    if idist.get_world_size() > 1:
        dist.all_reduce(values)  # not idist.all_reduce, which moves them to the GPU and back
        values /= idist.get_world_size()
    return values


def local_device() -> torch.device:
    """Return the GPU of this rank on its machine, or the CPU on a machine without GPUs."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return torch.device("cpu")


def local_batch_size(batch_size: int) -> int:
    """Divide a batch by the number of ranks.

    Args:
        batch_size: the number of samples of all ranks together.

    Returns:
        the number of samples of each rank.

    Raises:
        InputError: ``batch_size`` is below 1, or the ranks cannot share the batch equally.
    """
    check_numbers(batch_size=batch_size)
    count = idist.get_world_size()
    if batch_size % count:
        raise InputError(
            f"batch_size={batch_size} is shared by {count} processes, and {count} does not divide it: "
            f"give batch_size={-(-batch_size // count) * count}"
        )
    return batch_size // count


def local_cores() -> int:
    """Count the CPU cores for each of the processes that ``torchrun`` started on this machine."""
    return max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def check_sync_batchnorm(sync_batchnorm: bool, device: str | torch.device) -> bool:
    """Check whether BatchNorm can be synchronised here, if it shall be.

    Args:
        sync_batchnorm: whether :func:`share_network` will synchronise it; also as text, from the command line.
        device: the device of this rank.

    Returns:
        ``sync_batchnorm``, true or false.

    Raises:
        InputError: ``sync_batchnorm`` in a run of one process, or on CPUs, for which PyTorch does not have it.
    """
    if not as_bool(sync_batchnorm, "sync_batchnorm"):
        return False
    if not dist.is_initialized():
        raise InputError(
            "sync_batchnorm=true needs several processes: give bundle/configs/multi_gpu_train.json as the last config "
            "file, and start it by torchrun; or leave it out"
        )
    if torch.device(device).type != "cuda":
        raise InputError(f"sync_batchnorm=true needs GPUs, and device is {str(device)!r}: leave it out")
    return True


def share_network(
    network: nn.Module, device: str | torch.device, sync_batchnorm: bool = False
) -> DistributedDataParallel:
    """Let all ranks train one network: they start from the first rank's weights, and average their gradients.

    Gradients travel by NCCL between GPUs, by Gloo otherwise. Each step must reach the same weights as the first one.

    Args:
        network: on ``device``; ``sync_batchnorm`` replaces its layers in place.
        device: the device of this rank.
        sync_batchnorm: compute BatchNorm's statistics over the batches of all ranks; on GPUs only.

    Returns:
        the network, wrapped for the training.
    """
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    group = dist.new_group(backend="nccl") if on_gpu and dist.is_nccl_available() else None
    if as_bool(sync_batchnorm, "sync_batchnorm"):
        # PyTorch's conversion would lose the activations that timm keeps in its BatchNorm layers.
        network = convert_sync_batchnorm(network, group)
    # Some backbones, such as HRNet, have weights that no loss reaches. PyTorch waits for their gradients, unless it may
    # see in the first step which ones come.
    devices = [device] if on_gpu else None
    return DistributedDataParallel(network, device_ids=devices, process_group=group, static_graph=True)


def broadcast_buffers(network: nn.Module) -> None:
    """Copy the first rank's buffers, BatchNorm's statistics, to all ranks: they differ after a training step.

    Args:
        network: on every rank; its buffers are replaced in place.
    """
    for buffer in network.buffers():
        dist.broadcast(buffer, src=0)


def _exchange(value: _T) -> list[_T]:
    try:
        return gather(value)
    except RuntimeError:  # another rank is gone
        raise SystemExit(1) from None
