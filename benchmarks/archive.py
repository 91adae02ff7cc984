"""Archives on Ray: what a second worker brings, what the engine costs, and whether anything is lost.

    python benchmarks/archive.py workers    # two workers of one thread each, and one, on the same videos
    python benchmarks/archive.py engine     # one worker, and the same work in one process without Ray
    python benchmarks/archive.py losses     # 1,000 videos, 20 of them broken, while a worker is killed every 30 s

Rates are compared within one run. Both orders are measured, because other work on the machine may come and go. The rate
of several workers is the sum of theirs. A worker's rate counts from the end of its first video to that of its last.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lsinet_monai.archive import run_archive
from lsinet_monai.archive.failures import Failures
from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.ray_engine import RayEngine, ray_session
from lsinet_monai.archive.schedule import Event, run_all
from lsinet_monai.archive.segmenter import Segmenter, Settings
from lsinet_monai.archive.table import read_table
from lsinet_monai.archive.videos import ArchiveVideo, find_videos
from lsinet_monai.data import phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet, save_model
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE, model_hash

ROOT = Path(__file__).resolve().parents[1]
BROKEN = 20


class TimedEngine(RayEngine):
    """Notes when each video began and ended, and its frames."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.begun: list[float] = []
        self.ended: dict[Any, list[tuple[float, int]]] = {}  # of each worker's videos: when, and the frames
        self.waited: list[float] = []  # seconds of a video in which its worker did not work on it
        self._begun: dict[Any, float] = {}

    def submit(self, worker: Any, video: ArchiveVideo) -> None:
        """Give a video to a worker."""
        self._begun[worker] = time.monotonic()
        self.begun.append(self._begun[worker])
        super().submit(worker, video)

    def wait(self) -> Sequence[Event]:
        """Wait for a worker."""
        events = super().wait()
        now = time.monotonic()
        for event in events:
            if event.kind == "outcome" and event.outcome and event.outcome.row:
                row = event.outcome.row
                self.ended.setdefault(event.worker, []).append((now, row["frames"]))
                self.waited.append(now - self._begun[event.worker] - row["compute_seconds"])
        return events

    def rate(self) -> float:
        """Frames per second of all workers together."""
        return sum(
            sum(frames for _, frames in ended[1:]) / (ended[-1][0] - ended[0][0])
            for ended in self.ended.values()
            if len(ended) > 1
        )


def make_videos(folder: Path, count: int, frames: int, size: tuple[int, int]) -> list[ArchiveVideo]:
    """Write videos of the phantom. Few different ones are made, because that takes longer than to copy them."""
    spec = importlib.util.spec_from_file_location("video_recipe", ROOT / "tests/data/video/recipe.py")
    assert spec and spec.loader
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    kinds = []
    for seed in range(min(count, 4)):
        path = folder / f"kind{seed}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        clip = [frame for frame, _ in phantom_clip(min(frames, 50), size, seed=seed)]
        once_and_back = [*clip, *clip[::-1]]
        wanted = [once_and_back[at % len(once_and_back)] for at in range(frames)]
        recipe.write_video(path, wanted, "libx264", "yuv420p", options={"preset": "veryfast"}, fps=25)
        kinds.append(path.read_bytes())
        path.unlink()
    for number in range(count):
        (folder / f"{number:04d}.mp4").write_bytes(kinds[number % len(kinds)])
    return find_videos([str(folder)])


def on_ray(settings: Settings, videos: Sequence[ArchiveVideo], output: Path, workers: int) -> TimedEngine:
    """Do the videos with a number of workers of one thread each."""
    folder = ArchiveFolder(output)
    with folder.claim(settings.recorded()), ray_session(cores=workers):
        engine = TimedEngine(settings, str(output), model_hash(settings.checkpoint), workers, 1)
        failures = Failures(folder.failures)
        run_all(engine, videos, failures, lambda row: None, lambda video: sys.exit(f"error: {failures.reason(video)}"))
    return engine


def in_one_process(settings: Settings, videos: Sequence[ArchiveVideo], output: Path) -> float:
    """Do the videos in this process, and return its frames per second without the first video."""
    folder = ArchiveFolder(output)
    torch.set_num_threads(1)
    with folder.claim(settings.recorded()):
        segment = Segmenter(settings, folder)
        frames, start = 0, 0.0
        for video in videos:
            row = segment(video).row
            assert row is not None
            if start:
                frames += row["frames"]
            else:
                start = time.monotonic()
        return frames / (time.monotonic() - start)


def measure_workers(settings: Settings, videos: Sequence[ArchiveVideo], folder: Path, rounds: int) -> None:
    """Print the rates of one worker and of two."""
    for number in range(rounds):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        rates = {count: on_ray(settings, videos, folder / f"out{number}{count}", count).rate() for count in order}
        print(
            f"one worker {rates[1]:.2f} frames/s, two {rates[2]:.2f} frames/s: {rates[2] / rates[1]:.2f} times; "
            f"load {os.getloadavg()[0]:.1f}"
        )


def measure_engine(settings: Settings, videos: Sequence[ArchiveVideo], folder: Path, rounds: int) -> None:
    """Print the rate of one worker and that of one process without Ray."""
    for number in range(rounds):
        engine = on_ray(settings, videos, folder / f"ray{number}", 1)
        alone = in_one_process(settings, videos, folder / f"alone{number}")
        end = max(when for ended in engine.ended.values() for when, _ in ended)
        waited = sum(engine.waited) / (end - engine.begun[0])
        print(
            f"one process {alone:.2f} frames/s, one worker {engine.rate():.2f} frames/s: {engine.rate() / alone:.3f} "
            f"times; the worker waits {100 * waited:.2f}% of its time for videos; load {os.getloadavg()[0]:.1f}"
        )


def count_losses(checkpoint: Path, videos: Path, output: Path, seconds: float) -> None:
    """Run an archive while a worker is killed from time to time, and print what came of it."""
    for path in sorted(videos.glob("*.mp4"))[::50][:BROKEN]:
        path.write_bytes(b"no video")
    expected = len(list(videos.glob("*.mp4")))
    said: list[str] = []

    def archive() -> None:
        try:
            run_archive([str(videos)], output, checkpoint=checkpoint, workers=2)
        except InputError as error:
            said.append(str(error))

    start = time.monotonic()
    thread = threading.Thread(target=archive)
    with ray_session(cores=2):
        thread.start()
        kills = 0
        next_kill = time.monotonic() + seconds
        while thread.is_alive():
            thread.join(timeout=0.1)
            if time.monotonic() >= next_kill:
                next_kill += seconds
                for pid in _busy_workers()[:1]:  # none, if all are starting
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        duration = time.monotonic() - start
    rows = read_table(output / "results.parquet")
    folders = [path.parent.relative_to(output / "videos") for path in output.rglob("result.json")]
    aside = {name: row["error"] for name, row in rows.items() if row["error"]}
    print(f"{expected} videos in {duration:.0f} s, {kills} workers killed; load {os.getloadavg()[0]:.1f}")
    print(f"{len(folders)} results, {len(aside)} set aside with a reason, {len(rows)} rows")
    print(f"duplicates: {sum(count - 1 for count in Counter(map(str, folders)).values())}")
    print(f"lost: {expected - len({*map(str, folders)} | aside.keys())}; the last line: {said}")


def _busy_workers() -> list[int]:
    """The workers of this program that are in the middle of a video."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = f"TMPDIR={os.environ['TMPDIR']}".encode() in (process / "environ").read_bytes().split(b"\0")
            if is_ours and (process / "cmdline").read_bytes().startswith(b"ray::Worker.segment"):
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(found)


def main() -> None:
    """Measure one part, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["workers", "engine", "losses"])
    parser.add_argument("--checkpoint", type=Path, default=shipped_folder("bundle") / MODEL_FILE)
    parser.add_argument("--small", action="store_true", help="take a small network without training in place of it")
    parser.add_argument("--videos", type=int, help="by default 10, and 1,000 for losses")
    parser.add_argument("--frames", type=int, help="of each video; by default a minute's 1,500, and 10 for losses")
    parser.add_argument("--height", type=int, default=288, help="of a frame; it is 5/4 as wide")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kill-every", type=float, default=30.0, metavar="SECONDS")
    arguments = parser.parse_args()
    is_losses = arguments.part == "losses"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TMPDIR"] = str(folder)  # by which this program's workers are known
        checkpoint = arguments.checkpoint
        if arguments.small or is_losses:
            checkpoint = folder / "model.pt"
            save_model(LSINet("mobilenetv3_small_100", drop_path_rate=0.0), checkpoint, [64, 96])
        size = (64, 80) if is_losses else (arguments.height, arguments.height * 5 // 4)
        count = arguments.videos or (1000 if is_losses else 10)
        videos = make_videos(folder / "in", count, arguments.frames or (10 if is_losses else 1500), size)
        settings = Settings(str(checkpoint))
        if is_losses:
            count_losses(checkpoint, folder / "in", folder / "out", arguments.kill_every)
        elif arguments.part == "workers":
            measure_workers(settings, videos, folder, arguments.rounds)
        else:
            measure_engine(settings, videos, folder, arguments.rounds)


if __name__ == "__main__":
    main()
