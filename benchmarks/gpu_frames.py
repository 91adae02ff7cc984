"""The speed of a video frame on a GPU, for ``video_inference.py --device cuda``.

Each row is printed when it is measured, and takes its share of the time that is left, the most important rows first.
Frames are phantom frames of a live stream (``adjacent="previous"``) with a full memory, to which every 5th is written.
The masks of each batch are waited for, so the time of a frame is that of its batch, divided by the batch's frames. The
first frames, in which the graphs are captured, have columns of their own.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from frame_runs import INTERVAL, MEMORY, dice_to_float32, make_engine, make_frames, make_network, make_released
from machine import describe
from torch import Tensor

from lsinet_monai.inferers import SequentialVideoInferer, encode_frames
from lsinet_monai.inferers.captured import CapturedCalls
from lsinet_monai.inferers.frame_engine import FrameEngine
from lsinet_monai.networks import LSINet, fuse_norms, load_checkpoint
from lsinet_monai.networks.half_precision import halve_encoder

__all__ = ["measure_gpu"]

TIMED_FRAMES = 200
ROW_SECONDS = 4.0
NO_TIME = "no time left"
WAYS: dict[str, dict[str, Any]] = {
    f"{dtype or 'float32'}, look-ahead {batch}": {"encode_batch": batch, "amp_dtype": dtype}
    for batch in (1, 8)
    for dtype in ("bfloat16", None)
}


class EagerInferer(SequentialVideoInferer):
    """The inferer without CUDA graphs, and in half precision with the same encoder as with them."""

    def engine(self, network: LSINet) -> FrameEngine:
        """See :meth:`SequentialVideoInferer.engine`. A stream calls it once."""
        half = halve_encoder(network, getattr(torch, self.amp_dtype)) if self.amp_dtype else network
        return FrameEngine(half, None, CapturedCalls(max_graphs=0))


class Subject(NamedTuple):
    """A network to time, with frames of its size, all on the device."""

    name: str
    network: LSINet
    frames: list[Tensor]


class Budget:
    """Divides the time that is left among the rows that are left."""

    def __init__(self, seconds: float, rows: int) -> None:
        self.end, self.rows = time.perf_counter() + seconds, rows

    def share(self) -> float:
        """The seconds of the next row, 0 or less if the time is over."""
        share = (self.end - time.perf_counter()) / max(1, self.rows)
        self.rows -= 1
        return min(share, ROW_SECONDS)


class Timing(NamedTuple):
    first: float
    """Seconds until the first mask."""
    warm: float
    """Seconds until all graphs are captured."""
    milliseconds: list[float]
    """Per frame, of each batch after that, sorted."""

    def percentile(self, percent: int) -> float:
        """A percentile of the milliseconds per frame."""
        return self.milliseconds[min(len(self.milliseconds) * percent // 100, len(self.milliseconds) - 1)]


def synchronise(device: torch.device) -> None:
    """Wait for the GPU, if it is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def time_frames(run: Callable[[], Any], batch: int, seconds: float, device: torch.device) -> Timing:
    """Time a function that segments a batch of frames, for a number of seconds and of frames at most."""

    def time_batch() -> float:
        start = time.perf_counter()
        run()
        synchronise(device)
        return time.perf_counter() - start

    # A graph is captured when it is needed for the second time: that with a write at the frame INTERVAL.
    starts = [time_batch() for _ in range(max(3, math.ceil((2 * INTERVAL + 1) / batch)))]
    end = time.perf_counter() + seconds
    times = [time_batch()]
    while len(times) * batch < TIMED_FRAMES and time.perf_counter() < end:
        times.append(time_batch())
    return Timing(starts[0], sum(starts), sorted(1000 * x / batch for x in times))


def print_row(*cells: object) -> None:
    """Print a row of a table in Markdown now."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_header(*names: str, text_columns: int = 1) -> None:
    """Print the head of a table in Markdown."""
    print_row(*names)
    print(f"|{'---|' * text_columns}{'---:|' * (len(names) - text_columns)}", flush=True)


def make_subjects(
    device: torch.device, backbone: str, size: int, models: Sequence[Path], count: int
) -> Iterator[Subject]:
    """Make the network with random weights, then those of the model files."""

    def make(name: str, network: LSINet, image_size: int | Sequence[int]) -> Subject:
        frames = make_frames(count, image_size, made_size=(256, 256))
        return Subject(name, network.requires_grad_(False).to(device), [frame.to(device) for frame in frames])

    yield make(backbone, make_network(backbone), size)
    for model in models:
        network, image_size = load_checkpoint(model)
        yield make(model.name, fuse_norms(network), image_size)


def make_runs(subject: Subject, is_captured: bool) -> Iterator[tuple[str, Callable[[], Any], int]]:
    """Make the ways to segment a subject's frames: what each is called, its function, and its number of frames."""
    features = encode_frames(subject.frames[: INTERVAL + 1], subject.network)
    kind, inferer = ("captured", SequentialVideoInferer) if is_captured else ("eager", EagerInferer)
    for name, options in WAYS.items():
        run = make_engine(subject.network, subject.frames, features, MEMORY, inferer, adjacent="previous", **options)
        yield f"{kind}, {name}", run, options["encode_batch"]


def make_released_run(subject: Subject, backbone: str) -> tuple[str, Callable[[], Any], int]:
    """Make the released procedure's way to segment the frames of the network with random weights."""
    network = make_network(backbone, default_layout=True).to(subject.frames[0].device)
    features = encode_frames(subject.frames[: INTERVAL + 1], network)
    return "released procedure, float32", make_released(network, subject.frames, features, MEMORY), 1


def print_time(subject: Subject, name: str, run: Callable[[], Any], batch: int, budget: Budget) -> None:
    """Time one way, and print its row."""
    seconds = budget.share()
    if seconds <= 0:
        print_row(subject.name, name, NO_TIME, *[""] * 6)
        return
    timing = time_frames(run, batch, seconds, subject.frames[0].device)
    p50, p99 = timing.percentile(50), timing.percentile(99)
    print_row(
        subject.name, name, f"{p50:.2f}", f"{p99:.2f}", f"{p99 / p50:.2f}", f"{1000 / p50:.0f}", f"{timing.first:.1f}",
        f"{timing.warm:.1f}", len(timing.milliseconds) * batch,
    )  # fmt: skip


def print_times(subjects: Sequence[Subject], budget: Budget) -> None:
    """Print the table of times: the captured engine, the released procedure, and the eager engine."""
    print_header(
        "network", "engine", "p50, ms", "p99, ms", "p99 / p50", "frames/s (1000 / p50)", "first mask, s",
        "all captured, s", "frames", text_columns=2,
    )  # fmt: skip
    for subject in subjects:
        for way in make_runs(subject, True):
            print_time(subject, *way, budget)
    print_time(subjects[0], *make_released_run(subjects[0], subjects[0].name), budget)
    for subject in subjects:
        for way in make_runs(subject, False):
            print_time(subject, *way, budget)


@torch.no_grad()
def print_agreement(subjects: Sequence[Subject], budget: Budget) -> None:
    """Print how far the captured logits are from the eager ones, while a small memory fills and forgets."""
    print_header(
        "network", "captured against eager", "largest difference of logits", "their standard deviation",
        "pixels that differ", text_columns=2,
    )  # fmt: skip
    for subject, (name, options) in itertools.product(subjects, WAYS.items()):
        if budget.share() <= 0:
            print_row(subject.name, name, NO_TIME, "", "")
            continue
        found, expected = (
            torch.stack(list(inferer(2, 4, "previous", **options).stream(subject.frames, subject.network)))
            for inferer in (SequentialVideoInferer, EagerInferer)
        )
        apart, pixels = (found - expected).abs().max(), ((found > 0) != (expected > 0)).double().mean()
        print_row(subject.name, name, f"{apart:.1e}", f"{expected.std():.2g}", f"{pixels:.1e}")


def print_masks(subject: Subject, budget: Budget) -> None:
    """Print how well a network's masks in half precision agree with those in float32."""
    print_header("masks in half precision", "mean Dice with float32", "smallest", "frames")
    if budget.share() <= 0:
        print_row(subject.name, NO_TIME, "", "")
        return
    for dtype, scores in dice_to_float32(subject.network, torch.stack(subject.frames, 2)).items():
        print_row(f"{subject.name}, {dtype}", f"{scores.mean():.4f}", f"{scores.min():.4f}", len(scores))


def measure_gpu(
    device: torch.device, backbone: str, size: int, models: Sequence[Path], seconds: float, count: int = 20
) -> None:
    """Measure the rows of three tables, and print each when it is measured.

    Args:
        device: the GPU. Tests give a CPU, where nothing is captured.
        backbone: of the network with random weights.
        size: the height and width of its frames.
        models: model files to measure too, with frames of their sizes. Masks are compared for the last one.
        seconds: after this time no further row begins.
        count: the number of frames that are made, 6 or more; they repeat.
    """
    print(f"{describe(device)}, cuDNN's convolutions in TF32: {torch.backends.cudnn.allow_tf32}\n", flush=True)
    budget = Budget(seconds, 3 * len(WAYS) * (1 + len(models)) + 2)
    subjects = list(make_subjects(device, backbone, size, models, count))
    print_times(subjects, budget)
    print()
    print_agreement(subjects, budget)
    print()
    print_masks(subjects[-1], budget)
