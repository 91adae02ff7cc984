"""The speed of reading frames and writing masks: from a 1080p H.264 video to PNG masks, with a constant as network.

    python benchmarks/video_io.py

The video is an enlarged phantom clip with noise as fine as a camera's. The script times each stage by itself, then all
stages as they run in inference, where reading happens in the background. It compares the result with a frame of LSI-Net
with PVTv2-B5 at 352x352, on the same cores.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lsinet_monai.data import ClipPieces, find_field_of_view, find_inputs, open_video, phantom_clip, resize_frame
from lsinet_monai.formats import write_png
from lsinet_monai.handlers import ClipResultsSaver
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.masks import frame_score, logit_to_probability, uncertainty
from lsinet_monai.networks import LSINet
from lsinet_monai.writers import ClipWriter, Outputs

HEIGHT, WIDTH = 1080, 1920
IMAGE_SIZE = (352, 352)
FPS = 30
GPU_FPS = 120
PIECE_FRAMES = 8
STAGE_FRAMES = 30
MASKS_ALONE = {"write_maps": False, "write_overlay": False}


class Cost(NamedTuple):
    """Milliseconds per frame."""

    wall: float
    cpu: float


def make_video(path: Path, frames: int) -> None:
    """Write the video that is measured, as a recorder would: H.264, a key frame every second."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
        clip = [frame for frame, _ in phantom_clip(FPS, (HEIGHT // 8, WIDTH // 8), seed=0)]
        there_and_back = itertools.cycle(clip + clip[::-1])
        for index in tqdm(range(frames), desc="making a video", leave=False):
            small = next(there_and_back)
            large = np.array(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
            noise = rng.integers(-4, 5, large.shape[:2], dtype=np.int16)[..., None]
            picture = av.VideoFrame.from_ndarray(np.clip(large + noise, 0, 255).astype(np.uint8), "rgb24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def repeat_video(path: Path, target: Path, times: int) -> None:
    """Write a long video by repeating the packets of a short one: this takes seconds, encoding would take an hour."""
    with av.open(str(target), "w") as output:
        end, stream = 0, None
        for _ in range(times):
            with av.open(str(path)) as container:
                source = container.streams.video[0]
                stream = stream or output.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None:  # the last packet, which is empty
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + end, packet.dts + end, stream
                    output.mux(packet)
                end += source.duration or 0


def measure_opening(path: Path, frames: int) -> None:
    """Print the cost of opening videos of several lengths, which arises once per video, not per frame."""
    open_video(path).close()  # the first one loads libraries
    for times in (1, 10, 100):
        target = path.with_name("long.mp4")
        repeat_video(path, target, times)
        start = time.process_time()
        with open_video(target) as video:
            cost = time.process_time() - start
            assert len(video) == times * frames
        print(f"opening {times * frames} frames, {target.stat().st_size / 1e6:.0f} MB: {cost:.3f} s of CPU", flush=True)
        target.unlink()


def make_logits() -> Tensor:
    """Make the constant: logits of a polyp with an uneven edge, (1, 1, PIECE_FRAMES, height, width)."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(-3, 3, 44), torch.linspace(-3, 3, 44), indexing="ij")
    coarse = 4 - 4 * (rows**2 + columns**2) + torch.randn(44, 44, generator=generator)
    fine = F.interpolate(coarse[None, None], size=IMAGE_SIZE, mode="bilinear", align_corners=False)
    return fine[:, :, None].expand(-1, -1, PIECE_FRAMES, -1, -1)


def measure(what: str, frames: int, work: Iterable[object]) -> Cost:
    """Do some work, and print its speed and the number of CPU cores that it needs to serve a GPU of GPU_FPS."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in work:
        pass
    wall, cpu = (1000 * x / frames for x in (time.perf_counter() - start, time.process_time() - cpu_start))
    print(f"| {what} | {1000 / wall:.1f} | {cpu:.2f} | {cpu * GPU_FPS / 1000:.2f} |", flush=True)
    return Cost(wall, cpu)


def infer(path: Path, output_dir: Path, **outputs: bool) -> Iterable[None]:
    """Do what the bundle's inference does with a video, except for the network."""
    logits = make_logits()
    engine = Engine(lambda engine, batch: {"pred": logits[:, :, : len(batch["frame"])]})
    clips = find_inputs(path)
    ClipResultsSaver(clips, output_dir, Outputs(**outputs)).attach(engine)
    engine.state.device = torch.device("cpu")
    engine.run(ClipPieces(clips, IMAGE_SIZE, PIECE_FRAMES))
    yield None


def repeat(work: Callable[[], Any]) -> Iterable[Any]:
    """Do the same work for each of STAGE_FRAMES frames."""
    return (work() for _ in range(STAGE_FRAMES))


def to_map(logits: Tensor) -> np.ndarray:
    """Make a map of the frame's size."""
    result: np.ndarray = logit_to_probability(logits, (HEIGHT, WIDTH)).numpy()
    return result


def overlays(frames: list[np.ndarray], map_: np.ndarray, folder: Path) -> Iterable[None]:
    """Write an overlay and the frames' scores, but no masks or maps."""
    with ClipWriter(folder, "overlay", write_masks=False, write_maps=False, overlay="mp4") as writer:
        for index, frame in enumerate(frames):
            writer.write(str(index), frame, map_)
            yield None


@torch.no_grad()
def network_frame() -> float:
    """Time a frame of LSI-Net, in milliseconds (median); random weights cost the same as trained ones."""
    network = LSINet("pvt_v2_b5", pretrained=False).eval().to(memory_format=torch.channels_last)
    times, start = [], time.perf_counter()
    for _ in SequentialVideoInferer().stream((torch.randn(1, 3, *IMAGE_SIZE) for _ in range(9)), network):
        times.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
    return statistics.median(times[2:])


def measure_stages(path: Path, folder: Path, frames: int) -> dict[str, Cost]:
    """Time each stage by itself."""
    logits = make_logits()[0, 0, 0]
    map_ = to_map(logits)
    mask, bytes_ = np.where(map_ > 0.5, np.uint8(255), np.uint8(0)), np.rint(255 * map_).astype(np.uint8)
    places = sorted({int(place) for place in np.linspace(0, frames - 1, 25)})
    with open_video(path) as video:
        some = [frame for _, _, frame in video.frames(0, STAGE_FRAMES)]
        return {
            "field": measure(
                "finding the field of view, once per video",
                frames,
                (find_field_of_view(video[place] for place in places) for _ in range(1)),
            ),
            "decode": measure("decoding, to RGB", frames, video),
            "resize": measure("resizing", len(some), (resize_frame(frame, IMAGE_SIZE) for frame in some)),
            "map": measure("resizing the map to the frame", STAGE_FRAMES, repeat(lambda: to_map(logits))),
            "scores": measure(
                "frame score and uncertainty",
                STAGE_FRAMES,
                repeat(lambda: (frame_score(map_), uncertainty(map_))),
            ),
            "encode": measure("encoding, a mask", STAGE_FRAMES, repeat(lambda: write_png(folder / "mask.png", mask))),
            "encode map": measure(
                "encoding, a map", STAGE_FRAMES, repeat(lambda: write_png(folder / "map.png", bytes_))
            ),
            "overlay": measure("scores and overlay", len(some), overlays(some, map_, folder)),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300, help="length of the video; 30 frames are one second")
    frames = parser.parse_args().frames
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "video.mp4"
        make_video(path, frames)
        print(f"{WIDTH}x{HEIGHT}, {frames} frames, {path.stat().st_size / 1e6:.1f} MB, {cores} cores\n")
        measure_opening(path, frames)
        print(f"\n| | frames/s | CPU ms per frame | cores for {GPU_FPS} frames/s |\n|---|---:|---:|---:|")
        stages = measure_stages(path, folder, frames)
        whole = measure("**video to PNG masks**", frames, infer(path, folder / "masks", **MASKS_ALONE))
        measure("video to masks and maps", frames, infer(path, folder / "maps", write_overlay=False))
        measure("video to masks, maps and overlay", frames, infer(path, folder / "all"))
    shares = {stage: stages[stage].cpu / whole.cpu for stage in ("decode", "resize", "encode")}
    print("\nshares of video to PNG masks: " + ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items()))
    network = network_frame()
    print(f"a frame of LSI-Net with PVTv2-B5 at 352x352: {network:.0f} ms")
    print(f"video to PNG masks: {whole.wall:.0f} ms per frame, {whole.wall / network:.2f} of the network's time")


if __name__ == "__main__":
    main()
