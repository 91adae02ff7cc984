"""From a 1080p H.264 file to PNG masks, as the bundle's inference does it: frames per second, and each stage by itself.

    python benchmarks/file_to_masks.py --device cuda --amp-dtype bfloat16 [--encode-batch 8] [--models FILE ...]
                                       [--decode-device cuda]

The video is that of :mod:`video_io`, repeated. Networks are the backbone with random weights, and the model files. Each
whole run is the bundle's command, with masks alone. Its rate counts the frames after the first tenth, in which CUDA
graphs are captured, by the times of the mask files. Then each stage of the first network runs by itself, one after the
other. In the whole run they overlap: reading, the GPU and writing have threads of their own.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from frame_runs import make_network
from gpu_frames import print_header, print_row, synchronise
from machine import describe, find_device
from monai.bundle import run as run_bundle
from video_io import make_video, repeat_video

from lsinet_monai.data import check_decode_device, frames_to_tensor, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.formats import write_png
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.networks import fuse_norms, load_checkpoint, save_model
from lsinet_monai.utils.cores import available_cores
from lsinet_monai.writers import fetch_map

CONFIG = Path(__file__).resolve().parents[1] / "bundle/configs/inference.json"
STAGE_FRAMES = 48


class WholeRun(NamedTuple):
    frames_per_second: float
    """Of the frames after the first tenth."""
    first: float
    """Seconds until the first mask."""
    seconds: float
    cores: float
    """CPU seconds per second."""


def time_run(video: Path, output_dir: Path, model: Path, **options: Any) -> WholeRun:
    """Run the bundle's inference on a video, with masks alone."""
    start, wall, cpu = time.time(), time.perf_counter(), time.process_time()
    run_bundle(
        "inference",
        config_file=str(CONFIG),
        input=str(video),
        checkpoint=str(model),
        output_dir=str(output_dir),
        write_maps=False,
        write_overlay=False,
        **options,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    times = sorted(path.stat().st_mtime for path in (output_dir / "masks").rglob("*.png"))
    counted = times[len(times) // 10 :]
    return WholeRun((len(counted) - 1) / (counted[-1] - counted[0]), times[0] - start, wall, cpu / wall)


def time_stage(steps: Iterable[object], frames_per_step: int, device: torch.device) -> float:
    """Time the steps of a stage after the first one, in milliseconds per frame."""
    steps = iter(steps)
    next(steps)
    synchronise(device)
    start = time.perf_counter()
    count = sum(1 for _ in steps)
    synchronise(device)
    return 1000 * (time.perf_counter() - start) / (count * frames_per_step)


@torch.no_grad()
def time_stages(
    video: Path, folder: Path, model: Path, device: torch.device, amp_dtype: Any, encode_batch: int
) -> Iterable[tuple[str, float]]:
    """Time each stage by itself, on the same frames."""
    decode_devices = ["cpu"]
    with suppress(InputError):  # not every GPU, or container, gives access to its decoder
        check_decode_device(device)
        decode_devices = list(dict.fromkeys(["cpu", str(device)]))
    for decode_device in decode_devices:
        with open_video(video, decode_device=decode_device) as opened:
            decoder = "" if decode_device == "cpu" else " by the GPU"
            yield f"decoding{decoder}, to RGB", time_stage(opened.frames(0, STAGE_FRAMES), 1, device)
            frames = [frame for _, _, frame in opened.frames(0, encode_batch)]
    network, image_size = load_checkpoint(model)
    network = fuse_norms(network).to(device)

    def repeat(work: Callable[[], object]) -> Iterable[object]:
        return (work() for _ in range(1 + STAGE_FRAMES // encode_batch))

    yield (
        "upload, resizing, normalising",
        time_stage(repeat(lambda: frames_to_tensor(frames, image_size, device)), encode_batch, device),
    )
    inputs = list(frames_to_tensor(frames, image_size, device)[None].unbind(2))
    inferer = SequentialVideoInferer(encode_batch=encode_batch, amp_dtype=amp_dtype, detect_cuts=True)
    logits = inferer.stream(itertools.cycle(inputs), network)
    first = [next(logits) for _ in range(4 * encode_batch)]  # in which graphs are captured
    yield "network", time_stage(itertools.islice(logits, 1 + STAGE_FRAMES), 1, device)

    def fetch() -> list[Any]:
        probabilities = (logit_to_probability(logit[0, 0], frames[0].shape[:2]) for logit in first[:encode_batch])
        fetched = [fetch_map(probability, 0.5, False, False) for probability in probabilities]
        return [wait() for wait in fetched]

    yield "maps of the frame's size, their numbers, masks", time_stage(repeat(fetch), encode_batch, device)
    mask: np.ndarray = fetch()[0].mask
    yield (
        "writing a PNG, in one thread",
        time_stage((write_png(folder / "mask.png", mask) for _ in range(1 + STAGE_FRAMES)), 1, device),
    )


def measure(
    device: torch.device,
    backbone: str,
    size: int,
    models: Sequence[Path],
    frames: int,
    repeats: int,
    amp_dtype: str | None,
    encode_batch: int,
    decode_device: str,
) -> None:
    """Measure whole runs of the backbone and the model files, then the stages of the backbone; print rows as they come.

    Args:
        device: the device of the network.
        backbone: of the network with random weights.
        size: the height and width of its frames.
        models: model files to run too.
        frames: the number of frames that are made.
        repeats: how often the video repeats them.
        amp_dtype: see :class:`SequentialVideoInferer`.
        encode_batch: the same.
        decode_device: where whole runs decode the video, see :func:`~lsinet_monai.data.open_video`.
    """
    print(f"{describe(device)}, {available_cores()} cores", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        made, video, random_model = folder / "made.mp4", folder / "video.mp4", folder / "random.pt"
        make_video(made, frames)
        repeat_video(made, video, repeats)
        save_model(make_network(backbone), random_model, size)
        print(
            f"{frames * repeats} frames, {video.stat().st_size / 1e6:.1f} MB, made in "
            f"{time.perf_counter() - start:.0f} s; {amp_dtype or 'float32'}, look-ahead {encode_batch}, decoded by "
            f"{decode_device}\n",
            flush=True,
        )
        print_header("1080p H.264 file to PNG masks", "frames/s", "first mask, s", "all, s", "cores")
        options = {"device": str(device), "amp_dtype": amp_dtype, "encode_batch": encode_batch,
                   "decode_device": decode_device}  # fmt: skip
        rates = []
        for label, model in ((backbone, random_model), *((model.name, model) for model in models)):
            run = time_run(video, folder / f"masks{len(rates)}", model, **options)
            rates.append(run.frames_per_second)
            print_row(label, f"{rates[-1]:.1f}", f"{run.first:.1f}", f"{run.seconds:.1f}", f"{run.cores:.1f}")
        print()
        whole = 1000 / rates[0]
        print_header(f"{backbone}: stages, each by itself", "ms per frame", "of the whole run's")
        for stage, cost in time_stages(video, folder, random_model, device, amp_dtype, encode_batch):
            print_row(stage, f"{cost:.2f}", f"{cost / whole:.0%}")
        print_row("**the whole run**", f"{whole:.2f}", "100%")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--backbone", default="pvt_v2_b5")
    parser.add_argument("--size", type=int, default=352, help="height and width of the network's frames")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="model files to run too")
    parser.add_argument("--frames", type=int, default=150, help="frames that are made; 30 are one second")
    parser.add_argument("--repeats", type=int, default=8, help="how often the video repeats them")
    parser.add_argument("--amp-dtype", choices=("bfloat16", "float16"))
    parser.add_argument("--encode-batch", type=int, default=8)
    parser.add_argument("--decode-device", default="cpu", help="of whole runs: cpu, or cuda for the GPU's decoder")
    given = parser.parse_args()
    logging.disable(logging.INFO)  # between the rows of a table
    measure(
        find_device(given.device), given.backbone, given.size, given.models, given.frames, given.repeats,
        given.amp_dtype, given.encode_batch, given.decode_device,
    )  # fmt: skip


if __name__ == "__main__":
    main()
