"""The wait for the first frame around a correction, and the cost of matching two frames.

    python benchmarks/corrections.py [--counts 1 20 200] [--rounds 3] [--size 352]

Of a long video one frame in ten is corrected, and the frame next to the one in the middle is asked for, with the
shipped model and the label app's settings. The video is 40 phantom frames, forwards and backwards in turns.

- **all encoded**: what a propagation did before its first frame when all corrected frames were in memory: it encoded
  them, one by one, and wrote them.
- **nothing kept**: in a new session. It encodes the corrected frames that are in memory, and all frames up to the next
  corrected one on either side, because masks are carried from there.
- **features kept**: the mask was propagated before, and is corrected again. Corrected frames and their matches are
  kept. The frame itself has to be encoded, because the session has been elsewhere in the video.

Matching is compared with a search by full matrices, which was used before. Matching there and back compares all
positions, in parts. Memory is what a search adds to a new
process. Times are medians of the CPU time of one thread, which other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from label_app import make_app_inferer
from lib.store import REACH
from machine import describe
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.data import frames_to_tensor, phantom_clip
from lsinet_monai.inferers import MemoryBank, VideoSession, encode_frames
from lsinet_monai.inferers.matching import Match, share_that_comes_back
from lsinet_monai.inferers.window_search import search_windows
from lsinet_monai.networks import LSINet, fuse_norms, load_checkpoint

MODEL = Path(__file__).resolve().parents[1] / "bundle" / "models" / "model.pt"
SPACING = 10
LENGTH = 200  # of the video, in frames, at least: its first frames are out of reach of the frame in the middle
SEARCH = (0.1, 1.0, 8)  # temperature, motion and radius, as in lsinet_monai.inferers.matching
CHANNELS = 32


class Video:
    """A long video of few frames."""

    def __init__(self, size: int, length: int) -> None:
        frames, masks = zip(*phantom_clip(40, (size, size), seed=0), strict=True)
        self.frames = [*frames, *reversed(frames)]
        self.masks = [mask > 0 for mask in (*masks, *reversed(masks))]
        self.length = length

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a frame."""
        return self.frames[index % len(self.frames)]

    def mask(self, index: int) -> np.ndarray:
        """Return the true mask of a frame."""
        return self.masks[index % len(self.masks)]


class Waits(NamedTuple):
    """CPU seconds until the first frame."""

    all_encoded: float
    nothing_kept: float
    features_kept: float


def timed(function: Callable[[], Any]) -> float:
    """Time a call, in CPU seconds."""
    start = time.process_time()
    function()
    return time.process_time() - start


@torch.no_grad()
def measure_waits(network: LSINet, size: int, count: int, rounds: int) -> Waits:
    """Time the first frame around the middle one of ``count`` corrected frames."""
    video = Video(size, max(LENGTH, SPACING * count))
    middle = len(video) // 2
    corrected = [middle + SPACING * (i - count // 2) for i in range(count)]

    def encode_all() -> None:
        memory = MemoryBank()
        for frame in corrected:
            (features,) = encode_frames([frames_to_tensor([video[frame]], size).movedim(1, 0)], network)
            memory.write(features.keys, features.values, permanent=True)

    def make_session() -> VideoSession:
        session = VideoSession(network, video, size, make_app_inferer(network), reach=REACH)
        for frame in corrected:
            session.add_mask(frame, video.mask(frame))
        return session

    kept = make_session()
    list(kept.propagate_from(middle))
    waits = []
    for _ in range(rounds):
        new = make_session()
        list(kept.propagate(0, kept.reach + 4))  # as many frames as the session holds
        kept.add_mask(middle, video.mask(middle))
        waits.append(
            Waits(
                timed(encode_all),
                timed(partial(next, new.propagate_from(middle))),
                timed(partial(next, kept.propagate_from(middle))),
            )
        )
    return Waits(*map(statistics.median, zip(*waits, strict=True)))


def search_all(queries: Tensor, keys: Tensor, expected: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Search by matrices of (h * w, h * w), see :func:`search_windows`."""
    y, x = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1).to(queries)
    distances = torch.cdist(expected, places, compute_mode="donot_use_mm_for_euclid_dist")
    scores = queries @ keys.T / SEARCH[0] - 0.5 * (distances / SEARCH[1]).square()
    weights = scores.softmax(1)
    return weights @ places, weights @ keys


def search_in_windows(queries: Tensor, keys: Tensor, expected: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Search with the settings of the package."""
    return search_windows(queries, keys, expected, grid, *SEARCH)


def make_search(side: int) -> tuple[Tensor, Tensor, Tensor, tuple[int, int]]:
    """Make the arguments of a search: random features, and a smooth motion by about two cells."""
    generator = torch.Generator().manual_seed(0)
    keys, queries = (F.normalize(torch.randn(side * side, CHANNELS, generator=generator), dim=1) for _ in range(2))
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    coarse = 2 * torch.randn(1, 2, 4, 4, generator=generator)
    motion = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)[0]
    return queries, keys, (torch.stack([x, y]) + motion).flatten(1).T.contiguous(), (side, side)


def megabytes(field: str) -> float:
    """The resident memory of this process: ``VmRSS`` is the current value, ``VmHWM`` the peak."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def peak(search: Callable[..., Any], side: int) -> float:
    """The memory that a search adds to this process, in MB."""
    arguments = make_search(side)
    start = megabytes("VmRSS")
    search(*arguments)
    return megabytes("VmHWM") - start


def measure_matches(sides: list[int], rounds: int) -> Iterator[tuple[int, list[float], list[float], float]]:
    """Yield per grid its side, seconds and MB of the searches by matrices and in windows, and how much they differ."""
    searches = (search_all, search_in_windows)
    for side in sides:
        arguments = make_search(side)
        (places, _), (found, _) = (search(*arguments) for search in searches)
        times = [[timed(partial(search, *arguments)) for search in searches] for _ in range(rounds)]
        seconds = [statistics.median(column) for column in zip(*times, strict=True)]
        memory = []
        for search in searches:  # each in a process of its own
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                memory.append(pool.submit(peak, search, side).result())
        yield side, seconds, memory, float((places - found).abs().max())


def match_there_and_back(side: int) -> None:
    """Match a frame there and back, as without a prompt head and in the search for cuts."""
    queries, keys, _, grid = make_search(side)
    later, earlier = (x.T.unflatten(1, grid)[None] for x in (queries, keys))
    share_that_comes_back(earlier, later, Match.identity(earlier))


def peak_there_and_back(side: int) -> float:
    """The memory that this adds to this process, in MB."""
    start = megabytes("VmRSS")
    match_there_and_back(side)
    return megabytes("VmHWM") - start


def main() -> None:
    """Measure, and print each row as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1, 20, 200], help="corrected frames (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of timing (default: %(default)s)")
    parser.add_argument("--size", type=int, default=352, help="height and width of frames (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(describe(torch.device("cpu")))
    print("\n| grid | matrices, ms | in windows, ms | ratio | matrices, MB | in windows, MB | places differ by |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for side, times, memory, apart in measure_matches([44, 128], arguments.rounds):
        milliseconds = " | ".join(f"{1000 * seconds:.1f}" for seconds in times)
        sizes = " | ".join(f"{size:.0f}" for size in memory)
        print(f"| {side}x{side} | {milliseconds} | {times[0] / times[1]:.1f} | {sizes} | {apart:.0e} |", flush=True)
    print("\n| grid | there and back, ms | MB |\n|---|---:|---:|")
    for side in (22, 44, 64, 128):
        seconds = statistics.median(timed(partial(match_there_and_back, side)) for _ in range(arguments.rounds))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            print(f"| {side}x{side} | {1000 * seconds:.1f} | {pool.submit(peak_there_and_back, side).result():.0f} |")
    network = fuse_norms(load_checkpoint(MODEL).network)  # as in the app
    print("\n| corrected frames | all encoded, s | nothing kept, s | features kept, s |\n|---:|---:|---:|---:|")
    for count in arguments.counts:
        waits = measure_waits(network, arguments.size, count, arguments.rounds)
        print(f"| {count} | {' | '.join(f'{wait:.2f}' for wait in waits)} |", flush=True)


if __name__ == "__main__":
    main()
