"""How fast frames come in: a 1080p H.264 video, decoded and brought to the network's size.

    python benchmarks/video_io.py

The video is synthetic: the phantom, enlarged, with noise as fine as a camera's. Stages are timed one by one, and then
as they run in inference, where decoding goes on in the background.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tqdm import tqdm

from lsinet_monai.data import open_video, phantom_clip, resize_frame

HEIGHT, WIDTH = 1080, 1920
IMAGE_SIZE = (352, 352)
FPS = 30
GPU_FPS = 120


def make_video(path: Path, frames: int) -> None:
    """Write the video that everything is measured on, as a recorder would: H.264, a key frame every second."""
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


def measure(what: str, frames: int, work: Iterable[object]) -> None:
    """Go through something; print how fast that was, and what a GPU that infers fast would ask of the CPU for it."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in work:
        pass
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    cpu = cpu_seconds / frames
    print(f"{what:28} {frames / seconds:10.1f} {1000 * cpu:14.2f} {cpu * GPU_FPS:10.2f}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300, help="length of the video; 30 are a second")
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        make_video(path, frames)
        cores = len(os.sched_getaffinity(0))
        print(f"{WIDTH}x{HEIGHT}, {frames} frames, {path.stat().st_size / 1e6:.1f} MB, {cores} cores")
        print(f"{'':28} {'frames/s':>10} {'CPU ms/frame':>14} {'cores for 120 frames/s':>10}")
        measure("opening (reads time stamps)", frames, (open_video(path).close() for _ in range(1)))
        with open_video(path) as video:
            some = [frame for _, _, frame in video.frames(0, 30)]
            measure("decoding, to RGB", frames, video)
            measure("resizing", len(some), (resize_frame(frame, IMAGE_SIZE) for frame in some))
            measure("decoding and resizing", frames, (resize_frame(frame, IMAGE_SIZE) for _, _, frame in video))


if __name__ == "__main__":
    main()
