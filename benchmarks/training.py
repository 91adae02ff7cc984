"""The cost of a training step against the released procedure, and whether loading the data keeps up with it.

A step is the network, its loss, the gradients and Adam's update, without MONAI's engine and handlers. Each way runs in
its own process, and the ways take turns, so that other work on the machine slows all alike; figures are medians over
all steps. The frames are phantom frames of SUN-SEG's size, resized to the input size of ``train.json``. The weights are
random, which does not change the cost.

    python benchmarks/training.py [--backbone pvt_v2_b1] [--image-size 352] [--batch-size 4] [--quick]

On a GPU, each way runs once, all in at most ``--seconds``, and each row is printed when it is measured. Loading does
not use the GPU, and is not measured there: compare its frames/s on a CPU with three times the samples/s.

    python benchmarks/training.py --device cuda --backbone pvt_v2_b5 --batch-size 8 [--seconds 180]
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe, find_device
from monai.data import DataLoader
from PIL import Image
from released import released_loss, released_read
from tqdm import tqdm

from lsinet_monai.data import Clip, FrameCache, TrainingDataset, TrainingSampler, phantom_clip, read_frame, read_mask
from lsinet_monai.inferers import TrainingInferer
from lsinet_monai.losses import LSINetLoss
from lsinet_monai.networks import create_network
from lsinet_monai.networks import memory as memory_module
from lsinet_monai.ops.builds import VARIABLE as KERNELS_VARIABLE
from lsinet_monai.transforms import training_transforms

FRAME = (1008, 1158)
FRAMES_PER_SAMPLE = 3
KEYS = ("image", "adjacent", "memory", "label", "memory_mask")

# The bundle's options of each way; "released" is the released procedure.
WAYS: dict[str, dict[str, Any]] = {
    "released": {},
    "ours": {},
    "every_frame": {"every_frame": True},
    "channels_last": {"channels_last": True},
    "bfloat16": {"channels_last": True, "amp_dtype": "bfloat16"},
    "float16": {"channels_last": True, "amp_dtype": "float16"},
    "compile": {"channels_last": True, "amp_dtype": "bfloat16", "compile": True},
}
WAYS_BY_DEVICE = {
    "cpu": ("released", "ours", "every_frame", "channels_last", "bfloat16"),
    "cuda": ("released", "ours", "bfloat16", "channels_last", "float16", "every_frame", "compile"),
}


def time_steps(way: str, backbone: str, image_size: int, batch_size: int, steps: int, device: str) -> dict[str, Any]:
    """Train a few steps in one way: the seconds of the first step and of each later one, the peak memory in bytes."""
    options = dict(WAYS[way])
    amp_dtype, compiled = options.pop("amp_dtype", None), options.pop("compile", False)
    every_frame = options.pop("every_frame", False)
    torch.manual_seed(0)
    if device == "cuda":
        gc.collect()  # the network of the way before this one
        torch.cuda.reset_peak_memory_stats()
    network: Any = create_network(backbone, **options).to(device)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():  # zero offsets would all read from the same place
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    loss_function: Any = LSINetLoss()
    if way == "released":
        memory_module.read_memory = released_read
        loss_function = released_loss
    step_network = torch.compile(network) if compiled else network
    inferer = TrainingInferer(amp_dtype, device, every_frame)
    # A scale that fits from the start: the scaler would skip steps, which must not be timed.
    scaler = torch.amp.GradScaler(device, init_scale=2.0**10, enabled=amp_dtype == "float16")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    frames = {key: torch.randn(batch_size, 3, image_size, image_size, device=device) for key in KEYS[:3]}
    masks = {key: torch.zeros(batch_size, 1, image_size, image_size, device=device) for key in KEYS[3:]}
    for mask in masks.values():
        mask[..., image_size // 4 : image_size // 2, image_size // 4 : image_size // 2] = 1
    label = masks["label"].expand(-1, FRAMES_PER_SAMPLE if every_frame else 1, -1, -1)
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        logits = inferer(
            frames["image"], step_network, adjacent=frames["adjacent"], memory=frames["memory"],
            memory_mask=masks["memory_mask"],
        )  # fmt: skip
        loss = loss_function(logits, label)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_value_(network.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        loss.item()
        seconds.append(time.perf_counter() - start)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # The first two also load kernels or compile.
    return {"first": seconds[0], "seconds": seconds[2:], "peak": peak}


def start(ways: Sequence[str], arguments: argparse.Namespace) -> subprocess.Popen[str]:
    """Start a process that runs some ways one after the other, and prints the figures of each as a line of JSON."""
    command = [sys.executable, __file__, "--ways", *ways, "--device", arguments.device, "--steps", arguments.steps,
               "--backbone", arguments.backbone, "--image-size", arguments.image_size,
               "--batch-size", arguments.batch_size]  # fmt: skip
    # A process loads one build of the kernels.
    forced = {KERNELS_VARIABLE: "torch"} if "released" in ways else {}
    return subprocess.Popen([str(word) for word in command], env=os.environ | forced, stdout=subprocess.PIPE, text=True)


def read_figures(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield the figures that a process prints, until it ends.

    Raises:
        subprocess.CalledProcessError: it failed or was killed.
    """
    with process:
        assert process.stdout is not None
        yield from (json.loads(line) for line in process.stdout if line.startswith("{"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)


def print_header(arguments: argparse.Namespace) -> None:
    """Print what is measured, where, and the names of the columns."""
    print(describe(torch.device(arguments.device)))
    print(f"{arguments.backbone}, {arguments.image_size}x{arguments.image_size}, batches of {arguments.batch_size}")
    print(f"{'':16} {'samples/s':>10} {'peak, GB':>10} {'against released':>18} {'first step, s':>15}", flush=True)


def print_way(way: str, samples: float, peak: float, released: float, first: float) -> None:
    """Print a way's samples per second, its peak memory in bytes, its speed against the released procedure's, and the
    seconds of its first step, in which kernels are loaded and steps compiled.
    """
    print(f"{way:16} {samples:10.2f} {peak / 1e9:10.2f} {samples / released:18.2f} {first:15.1f}", flush=True)


def compare_ways(arguments: argparse.Namespace) -> float:
    """Run all ways in turns and print their figures; returns our samples per second on this device."""
    ways = WAYS_BY_DEVICE[arguments.device]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    rounds = [way for turn in range(arguments.rounds) for way in (ways if turn % 2 == 0 else ways[::-1])]
    for way in tqdm(rounds, desc="training", leave=False):
        found[way] += read_figures(start([way], arguments))
    print_header(arguments)
    seconds = {way: statistics.median(s for part in parts for s in part["seconds"]) for way, parts in found.items()}
    samples = {way: arguments.batch_size / value for way, value in seconds.items()}
    for way, parts in found.items():
        peak, first = (max(part[name] for part in parts) for name in ("peak", "first"))
        print_way(way, samples[way], peak, samples["released"], first)
    return samples["ours"]


def compare_ways_on_gpu(arguments: argparse.Namespace) -> None:
    """Run all ways once and print the figures of each when it is measured, until the time is over."""
    print_header(arguments)
    end = time.monotonic() + arguments.seconds
    ways = WAYS_BY_DEVICE[arguments.device]
    missing, released = list(ways), float("nan")
    for group in (ways[:1], ways[1:]):  # The released procedure needs a process of its own.
        process = start(group, arguments)
        timer = threading.Timer(max(0, end - time.monotonic()), process.kill)
        timer.start()
        try:
            for figures in read_figures(process):
                samples = arguments.batch_size / statistics.median(figures["seconds"])
                released = samples if figures["way"] == "released" else released
                print_way(figures["way"], samples, figures["peak"], released, figures["first"])
                missing.remove(figures["way"])
        except subprocess.CalledProcessError:
            if time.monotonic() < end:
                raise
        timer.cancel()
    if missing:
        print(f"no time left for {', '.join(missing)}: give more --seconds")


def make_clips(folder: Path, count: int, frames: int) -> list[Clip]:
    """Write phantom clips, enlarged to SUN-SEG's size, as JPEG, with masks as PNG."""
    clips = []
    for number in tqdm(range(count), desc="making frames", leave=False):
        images, masks = [], []
        for index, (frame, mask) in enumerate(phantom_clip(frames, (FRAME[0] // 4, FRAME[1] // 4), seed=number)):
            paths = folder / f"{number}_{index}.jpg", folder / f"{number}_{index}.png"
            for path, pixels in zip(paths, (frame, mask.astype(np.uint8) * 255), strict=True):
                Image.fromarray(pixels).resize(FRAME[::-1], Image.Resampling.BICUBIC).save(path, quality=90)
            images.append(str(paths[0]))
            masks.append(str(paths[1]))
        clips.append(Clip(f"case{number}", image=images, label=masks))
    return clips


def _own_memory(pid: int) -> int:
    """The memory of a process in bytes, without the part that it shares with its parent."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def measure_worker(dataset: TrainingDataset, sampler: TrainingSampler) -> list[int]:
    """Load six epochs in a worker process: its own memory in the middle of each epoch, in bytes."""
    loader = DataLoader(dataset, sampler=sampler, batch_size=4, num_workers=1, persistent_workers=True)
    memory = []
    for epoch in range(1, 7):
        sampler.set_epoch(epoch)
        for step, _ in enumerate(loader):
            if step == len(loader) // 2:
                (worker,) = multiprocessing.active_children()
                assert worker.pid is not None
                memory.append(_own_memory(worker.pid))
    return memory


def measure_data(clips: list[Clip], image_size: int, samples: int, needed: float) -> None:
    """Print how fast one core decodes and augments, and whether a worker grows.

    Args:
        clips: the clips to read.
        image_size: side of the network's input in pixels.
        samples: how many samples to prepare.
        needed: samples per second that training consumes.
    """
    torch.set_num_threads(1)
    sampler = TrainingSampler(clips)
    drawn = (list(sampler) * (1 + samples // len(sampler)))[:samples]
    print(f"\nframes of {FRAME[1]}x{FRAME[0]}, JPEG, in one process")
    print(f"{'':28} {'frames/s':>10} {'times the pace of training':>30}")

    def show(what: str, frames: int, seconds: float) -> None:
        print(f"{what:28} {frames / seconds:10.1f} {frames / seconds / (needed * FRAMES_PER_SAMPLE):30.1f}")

    start = time.perf_counter()
    for sample in drawn:
        clip = clips[sample.clip]
        for at in (sample.current, sample.adjacent, sample.memory):
            read_frame(clip.image[at])
        for at in (sample.current, sample.memory):
            read_mask((clip.label or [])[at])
    show("decoding", FRAMES_PER_SAMPLE * samples, time.perf_counter() - start)
    small = f"read_size {image_size}"
    datasets = {}
    for name, augment, options in (
        ("decoding, no augmentation", False, {}),
        (f"{small}, from memory", True, {"max_gb": 8, "read_size": image_size}),
        (small, True, {"read_size": image_size}),
        ("from memory", True, {"max_gb": 8}),
        ("as published", True, {}),
    ):
        cache = FrameCache(clips, **options).fill(progress=False)
        dataset = datasets[name] = TrainingDataset(clips, training_transforms(image_size, augment, cache))
        start = time.perf_counter()
        for sample in drawn:
            dataset[sample]
        show(name, FRAMES_PER_SAMPLE * samples, time.perf_counter() - start)

    for name in ("as published", "from memory"):
        memory = [f"{value / 1e6:.0f}" for value in measure_worker(datasets[name], sampler)]
        print(f"a worker's own memory by epoch, {name}, MB: {', '.join(memory)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="pvt_v2_b1")
    parser.add_argument("--image-size", type=int, default=352)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4, help="timed steps in each round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--device", choices=sorted(WAYS_BY_DEVICE), default=None, help="by default the GPU if there is one"
    )
    parser.add_argument("--quick", action="store_true", help="two rounds of two steps, and few frames")
    parser.add_argument("--seconds", type=float, default=180, help="of all ways on a GPU (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=sorted(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    find_device(arguments.device)
    for way in arguments.ways or ():
        numbers = (arguments.image_size, arguments.batch_size, arguments.steps)
        figures = time_steps(way, arguments.backbone, *numbers, arguments.device)
        print(json.dumps({"way": way, **figures}), flush=True)
    if arguments.ways:
        return
    if arguments.quick:
        arguments.rounds, arguments.steps = 2, 2
    if arguments.device == "cuda":
        compare_ways_on_gpu(arguments)
        return
    pace = compare_ways(arguments)
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), *((2, 6) if arguments.quick else (6, 20)))
        measure_data(clips, arguments.image_size, 12 if arguments.quick else 60, pace)


if __name__ == "__main__":
    main()
