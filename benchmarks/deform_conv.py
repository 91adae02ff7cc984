"""The speed of the deformable convolution: ours against torchvision's, in one run.

    taskset -c 0,1 python benchmarks/deform_conv.py
    python benchmarks/deform_conv.py --device cuda

Both are called through their public functions, at the sizes of the alignment's three scales for frames of 352x352, and
at a larger size. They take turns, so that other work on the machine slows both alike, and the fastest turn of each
counts. The script prints a table in Markdown, each row when it is measured: after 8 seconds on a CPU, or 1 on a GPU. On
a busy machine, OMP_PROC_BIND=true keeps the threads apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torchvision
from machine import describe, find_device
from torch import Tensor

from lsinet_monai.ops import deform_conv2d

TAPS = 9
DEFORMABLE_GROUPS = 8

# Channels in and out, height and width, batch.
SIZES = [(32, side, batch) for side in (44, 22, 11) for batch in (1, 8)] + [(64, 128, 1)]

Function = Callable[..., Tensor]


def make_step(function: Function, tensors: list[Tensor], backward: bool) -> Callable[[], None]:
    """Make a forward pass, or one with the gradients of all five tensors."""
    input, offset, weight, bias, mask = (tensor.detach().requires_grad_(backward) for tensor in tensors)
    leaves = [input, offset, weight, bias, mask]

    def step() -> None:
        with torch.set_grad_enabled(backward):
            output = function(input, offset, weight, bias, padding=1, mask=mask)
        if backward:
            torch.autograd.grad(output, leaves, torch.ones_like(output))
        if output.is_cuda:
            torch.cuda.synchronize()

    return step


def compare(steps: list[Callable[[], None]], seconds: float) -> list[float]:
    """Time the fastest run of each step, in milliseconds; each step gets an equal share of the time."""
    best, spent = [float("inf")] * len(steps), [0.0] * len(steps)
    for step in steps:
        step()
    while min(spent) < seconds:
        i = spent.index(min(spent))
        start = time.perf_counter()
        steps[i]()
        duration = time.perf_counter() - start
        best[i], spent[i] = min(best[i], duration), spent[i] + duration
    return [1000 * value for value in best]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, help="per row, direction and operator (2; on a GPU 0.25)")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    is_gpu = device.type == "cuda"
    seconds = arguments.seconds or (0.25 if is_gpu else 2.0)

    print(f"{describe(device)}\n")
    print("| channels | size | batch | dtype | torchvision, ms | ours | ratio | forward + backward | ours | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float16) if is_gpu else (torch.float32,):
        for channels, side, batch in SIZES:
            planes = DEFORMABLE_GROUPS * TAPS
            tensors = [
                torch.randn(batch, channels, side, side),
                torch.randn(batch, 2 * planes, side, side),
                torch.randn(channels, channels, 3, 3),
                torch.randn(channels),
                torch.rand(batch, planes, side, side),
            ]
            tensors = [tensor.to(device, dtype) for tensor in tensors]
            cells = []
            for backward in (False, True):
                functions = (torchvision.ops.deform_conv2d, deform_conv2d)
                theirs, ours = compare([make_step(f, tensors, backward) for f in functions], seconds)
                cells += [f"{theirs:.2f}", f"{ours:.2f}", f"**{theirs / ours:.1f}**"]
            row = [f"{channels} -> {channels}", f"{side}x{side}", str(batch), str(dtype).removeprefix("torch."), *cells]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
