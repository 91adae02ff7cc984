"""The cost of a video frame against one pass of the encoder, and against the released procedure.

All variants take turns, round after round, so that other work on the machine slows all alike; figures are medians over
the rounds. The memory is written at every 5th frame only, so the median of single frames does not include it, and
writing has its own row. The frames are phantom frames; the weights are random, which does not change the cost.

    python benchmarks/video_inference.py [--backbone pvt_v2_b5] [--size 352] [--frames 10] [--quick] [--output FILE]

With ``--models``, it times model files instead, each at its own size: the encoder, with its batch norms apart and fused
into its convolutions, a frame in a live stream with a full memory, and a frame of a short phantom clip, as published
and as the bundle's inference does it. ``--frames`` is the only other option that it takes.

    python benchmarks/video_inference.py --models bundle/models/model.pt other.pt

With ``--device cuda``, it times a frame of the backbone and of the model files on a GPU, the shipped model if none is
given, in about ``--seconds``; see :mod:`gpu_frames`. ``--frames``, ``--quick`` and ``--output`` have no effect.

    python benchmarks/video_inference.py --device cuda [--seconds 100]
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from frame_runs import (
    DTYPES,
    INTERVAL,
    MEMORY,
    dice_to_float32,
    fill,
    make_engine,
    make_frames,
    make_network,
    make_released,
)
from gpu_frames import measure_gpu
from machine import find_device
from released import ReleasedProcedure
from torch import Tensor
from tqdm import tqdm

from lsinet_monai.inferers import MemoryBank, SequentialVideoInferer, encode_frames, segment_frame
from lsinet_monai.networks import Features, LSINet, fuse_norms, load_checkpoint
from lsinet_monai.networks.encoder import create_backbone

ROOT = Path(__file__).resolve().parents[1]
CLIP = 24  # frames
WHOLE: dict[str, Any] = {"adjacent": "clearest", "detect_cuts": True, "smoothing": 0.35}  # as in inference.json


class Variant(NamedTuple):
    name: str
    run: Callable[[], Any]
    frames: int = 1
    """How many frames one run segments."""


def make_reader(read: Callable[[Features], Any], features: list[Features]) -> Callable[[], Any]:
    """Return a function that reads for the next frame of an endless clip."""
    queries = itertools.cycle(features)
    return lambda: read(next(queries))


def make_variants(backbone: str, size: int) -> list[Variant]:
    """Make all variants that are timed; the first is the yardstick."""
    network, default_layout = make_network(backbone), make_network(backbone, default_layout=True)
    frames = make_frames(MEMORY + 1, size)
    features = [encode_frames([frame], network)[0] for frame in tqdm(frames, "encoding", leave=False)]

    encoder = create_backbone(backbone).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    frame = frames[0].contiguous(memory_format=torch.channels_last)
    variants = [Variant("encoder pass (timm, float32, channels_last)", lambda: encoder(frame))]
    for memory in (1, 10, MEMORY):
        run = make_released(default_layout, frames, features, memory)
        variants.append(Variant(f"released procedure, memory {memory}", run))
    for memory in (1, 10, MEMORY):
        run = make_engine(network, frames, features, memory)
        variants.append(Variant(f"engine, float32, memory {memory}", run))
    for dtype, batch in itertools.product((None, *DTYPES), (1, 4, 8)):
        if dtype == "float16" and not computes_in_float16():
            continue
        if (dtype, batch) != (None, 1):
            run = make_engine(network, frames, features, MEMORY, encode_batch=batch, amp_dtype=dtype)
            name = f"engine, {dtype or 'float32'}, memory {MEMORY}, look-ahead {batch}"
            variants.append(Variant(name, run, batch))

    procedure, bank = ReleasedProcedure(network), MemoryBank(MEMORY)
    fill(procedure, features, MEMORY)
    fill(bank, features, MEMORY)
    variants.append(Variant(f"released read alone, memory {MEMORY}", make_reader(procedure.read, features)))
    variants.append(Variant(f"read alone, memory {MEMORY}", make_reader(bank.read, features)))
    write = make_reader(lambda x: bank.write(x.keys, x.values), features)
    variants.append(Variant(f"write alone, memory {MEMORY} (every {INTERVAL}th frame)", write))
    return variants


def make_model_variants(models: Sequence[Path]) -> list[Variant]:
    """Make variants of each model file."""
    variants = []
    for model in dict.fromkeys(models):
        network, image_size = load_checkpoint(model)
        fused = fuse_norms(network)
        frames = make_frames(INTERVAL + 1, image_size)
        features = [encode_frames([frame], fused)[0] for frame in frames]
        variants += [
            Variant(f"{model}: encoder, batch norms apart", partial(network.encode, frames[0])),
            Variant(f"{model}: encoder", partial(fused.encode, frames[0])),
            Variant(f"{model}: a frame of a live stream", make_engine(fused, frames, features, MEMORY)),
        ]
        clip = make_frames(CLIP, image_size)
        ways = {"as published": {}, "with what needs no training": WHOLE}
        if fused.prompt_head is not None:
            ways["with that, and refined, as inference does it"] = WHOLE | {"refine": True}
        for name, options in ways.items():
            run = partial(run_clip, SequentialVideoInferer(**options), fused, clip)
            variants.append(Variant(f"{model}: a frame of a clip, {name}", run, CLIP))
    return variants


def run_clip(inferer: SequentialVideoInferer, network: LSINet, clip: Sequence[Tensor]) -> None:
    """Segment a clip."""
    for _ in inferer.stream(iter(clip), network):
        pass


def computes_in_float16() -> bool:
    """Whether the CPU has instructions for float16; without them it is emulated, and too slow to use."""
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


@torch.no_grad()
def measure(variants: list[Variant], rounds: int) -> dict[str, float]:
    """Time each variant, in milliseconds per frame (median), after one round that does not count."""
    times: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for i in tqdm(range(rounds + 1), "timing", unit="round"):
        for variant in variants:
            start = time.perf_counter()
            variant.run()
            if i > 0:
                times[variant.name].append(1000 * (time.perf_counter() - start) / variant.frames)
    return {name: statistics.median(values) for name, values in times.items()}


def compare_logits(backbone: str, size: int, count: int) -> dict[str, float]:
    """Compare logits at stride 8 with the released procedure's while the memory fills: the absolute difference."""
    network, frames = make_network(backbone), make_frames(count, size)
    released, memory = ReleasedProcedure(make_network(backbone, default_layout=True)), MemoryBank(MEMORY)
    features = encode_frames(frames[:1], network)
    errors = []
    for i, frame in enumerate(tqdm(frames, "comparing logits", leave=False)):
        if i % 4 == 0:
            features += encode_frames(frames[i + 1 : i + 5], network) if i + 1 < count else []
        adjacent = i + 1 if i + 1 < count else i - 1
        expected = released.segment(frame, frames[adjacent], i % INTERVAL == 0)
        found = segment_frame(features[i], features[adjacent], memory, network, i % INTERVAL == 0)[-1]
        errors.append((found - expected).abs())
    return {"mean": float(torch.stack(errors).mean()), "max": float(torch.stack(errors).max())}


def compare_masks(model: Path, clips: int, count: int) -> dict[str, float]:
    """Compare the masks of each dtype with those of float32, by a trained network: the mean Dice over frames."""
    network, image_size = load_checkpoint(model)
    seeds = tqdm(range(1, clips + 1), "comparing masks", leave=False)
    scores = [
        dice_to_float32(network, torch.stack(make_frames(count, image_size, seed, (128, 160)), 2)) for seed in seeds
    ]
    return {dtype: float(torch.cat([score[dtype] for score in scores]).mean()) for dtype in DTYPES}


def memory_use(field: str) -> float:
    """The resident memory of this process in MB: ``VmRSS`` is the current value, ``VmHWM`` the peak."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def resident(name: str, backbone: str, size: int, options: dict[str, Any] | None) -> tuple[str, float]:
    """Run 10 frames with the engine, or the released procedure (options None): this process's peak memory in MB."""
    frames = make_frames(4, size)
    network = make_network(backbone, default_layout=options is None)
    features = [encode_frames([frame], network)[0] for frame in frames]
    if options is None:
        run, calls = make_released(network, frames, features, MEMORY), 10
    else:
        run, calls = make_engine(network, frames, features, MEMORY, **options), 10 // options.get("encode_batch", 1)
    with torch.no_grad():
        for _ in range(calls + 1):
            run()
    return name, memory_use("VmHWM")


def flatness(size: int, early: int, late: int, count: int) -> dict[str, dict[str, float]]:
    """Compare frames early and late in one long clip: milliseconds per frame (median) and MB.

    The clip repeats 40 encoded frames. Each frame is read, decoded, and every 5th one written; encoding is left out. A
    copy of the early memory is kept, and early and late frames are timed in turns, so that other work on the machine
    slows both alike.
    """
    network = make_network("pvt_v2_b0")
    features = encode_frames(make_frames(40, size), network)

    @torch.no_grad()
    def step(memory: MemoryBank, i: int) -> float:
        start = time.perf_counter()
        segment_frame(features[i % 40], features[(i + 1) % 40], memory, network, i % INTERVAL == 0)
        return 1000 * (time.perf_counter() - start)

    memories, sizes, memory = {}, {}, MemoryBank(MEMORY)
    for i in tqdm(range(late), "flatness", unit="frame"):
        if i == early:
            memories[early], sizes[early] = copy.deepcopy(memory), memory_use("VmRSS")
        step(memory, i)
    memories[late], sizes[late] = memory, memory_use("VmRSS")
    times: dict[int, list[float]] = {early: [], late: []}
    for i in range(count):
        for first, values in times.items():
            values.append(step(memories[first], first + i))
    return {
        f"frames {first} to {first + count - 1}": {"ms": statistics.median(values), "MB": sizes[first]}
        for first, values in times.items()
    }


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, where nothing else has taken memory yet."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def describe_machine() -> dict[str, Any]:
    """Describe the CPU and the versions of libraries."""
    cpu = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), "")
    return {
        "cpu": cpu.partition(": ")[2] or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "float16": computes_in_float16(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "timm": timm.__version__,
    }


def print_table(figures: dict[str, Any], size: int, backbone: str) -> None:
    """Print all figures as tables in Markdown."""
    times = figures["ms_per_frame"]
    yardstick, *_ = times.values()
    released = times[f"released procedure, memory {MEMORY}"]
    print(f"\n{backbone}, {size}x{size}; {', '.join(f'{k} {v}' for k, v in figures['machine'].items())}\n")
    print("| | ms per frame | in encoder passes | faster than the released procedure |\n|---|---:|---:|---:|")
    for name, ms in times.items():
        faster = f"{released / ms:.1f}x" if name.startswith("engine") else ""
        print(f"| {name} | {ms:.1f} | {ms / yardstick:.3f} | {faster} |")
    if not figures["machine"]["float16"]:
        print("\nfloat16 is not timed: this CPU has no instructions for it.")
    print("\n| peak resident memory | MB |\n|---|---:|")
    for name, megabytes in figures["resident_mb"].items():
        print(f"| {name} | {megabytes:.0f} |")
    print("\n| one long clip (PVTv2-B0, without encoding) | ms per frame | MB |\n|---|---:|---:|")
    for name, row in figures["flatness"].items():
        print(f"| {name} | {row['ms']:.1f} | {row['MB']:.0f} |")
    logits = figures["logits_to_released"]
    print(f"\nlogits against the released procedure: mean {logits['mean']:.1e}, max {logits['max']:.1e} apart")
    for dtype, dice in figures["mask_dice_to_float32"].items():
        print(f"masks in {dtype} against float32: mean Dice {dice:.4f}")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="pvt_v2_b5", help="any backbone of LSINet (default: %(default)s)")
    parser.add_argument("--size", type=int, default=352, help="height and width of frames (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=10, help="rounds of timing (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds of timing, and a long clip of 500 frames instead of 3,100"
    )
    parser.add_argument("--output", type=Path, help="also write all figures to this JSON file")
    parser.add_argument("--models", type=Path, nargs="+", help="time these model files in place of the backbone")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=100, help="of all rows on a GPU (default: %(default)s)")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    if device.type == "cuda":
        models = arguments.models or [ROOT / "bundle" / "models" / "model.pt"]
        measure_gpu(device, arguments.backbone, arguments.size, models, arguments.seconds)
        return
    if arguments.models:
        with torch.no_grad():
            times = measure(make_model_variants(arguments.models), arguments.frames)
        for name, milliseconds in times.items():
            print(f"{milliseconds:7.1f} ms  {name}")
        return
    backbone, size = arguments.backbone, arguments.size
    model = ROOT / "demo" / "model.pt"
    if not model.exists():
        subprocess.run([sys.executable, ROOT / "scripts" / "demo_phantom.py", "--only-model"], cwd=ROOT, check=True)

    figures: dict[str, Any] = {"backbone": backbone, "size": size, "machine": describe_machine()}
    figures["ms_per_frame"] = measure(make_variants(backbone, size), 3 if arguments.quick else arguments.frames)
    runs = {
        f"released procedure, memory {MEMORY}": None,
        f"engine, float32, memory {MEMORY}": {},
        f"engine, bfloat16, memory {MEMORY}, look-ahead 8": {"amp_dtype": "bfloat16", "encode_batch": 8},
    }
    figures["resident_mb"] = dict(in_new_process(resident, name, backbone, size, x) for name, x in runs.items())
    windows = (200, 400, 100) if arguments.quick else (200, 3000, 100)
    figures["flatness"] = in_new_process(flatness, size, *windows)
    figures["logits_to_released"] = compare_logits(backbone, size, 12)
    figures["mask_dice_to_float32"] = compare_masks(model, clips=3, count=60)
    print_table(figures, size, backbone)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
