"""How many clicks a person needs per frame: clicks are simulated, with the truth at hand.

    python benchmarks/clicks.py DATA [--checkpoint FILE] [--every N] [--walker] [--names FILE] [--output FILE]

DATA is a folder in SUN-SEG's layout, of which all splits are taken, or pictures with masks. Each click is at the
centre of the largest region that the mask has wrong; 20 clicks at most, and a frame that never gets there counts 20.
NoC@85 and NoC@90 are the mean numbers of clicks until the IoU is 0.85 and 0.90; next to them is the share of the frames
that never get there. Rows:

- from nothing: the first click finds the polyp;
- from the model's mask of the single frame; a mask that is good at once counts 0;
- ``--walker``: from nothing, by scikit-image's random walker, with the same rule of clicking. Its seeds are discs about
  the clicks and, until a click outside is set, the frame's border. It works at half of the model's size.

The last line is about the polyps that the model missed (IoU below 0.1): the share in which one click gives 0.75.

The first reading of a frame's features is not measured; the time of a click is, as a mean on this machine's threads.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from monai.utils import ensure_tuple_rep
from PIL import Image
from tqdm import tqdm

from lsinet_monai.data import Clip, find_stills, find_test_splits, frames_to_tensor, read_frame, read_mask, read_split
from lsinet_monai.inferers import PromptedFrame
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.metrics import Click, next_click
from lsinet_monai.networks import LoadedModel, fuse_norms, load_checkpoint
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE

MOST = 20
GOALS = (0.85, 0.90)
MISSED, FOUND = 0.1, 0.75
WALKER_SHARE = 2  # of the model's side
WALKER_DISC = 3  # pixels about a click

Segment = Callable[[list[Click]], np.ndarray]


class Row(NamedTuple):
    """What a way of clicking needs in one frame."""

    clicks: tuple[int, ...]
    """Until each of the goals; 20 if it is never reached."""
    is_reached: tuple[bool, ...]
    first: float
    """The IoU after the first click."""


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """The IoU of two masks, of which one at least is not empty."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def click_until_good(segment: Segment, mask: np.ndarray, truth: np.ndarray) -> Row:
    """Click until the last goal is reached, starting from a mask."""
    clicks: list[Click] = []
    needed = [MOST] * len(GOALS)
    reached = [False] * len(GOALS)
    first = 0.0
    while True:
        quality = iou(mask, truth)
        if len(clicks) == 1:
            first = quality
        for i, goal in enumerate(GOALS):
            if not reached[i] and quality >= goal:
                needed[i], reached[i] = len(clicks), True
        click = next_click(mask, truth)
        if all(reached) or len(clicks) == MOST or click is None:
            return Row(tuple(needed), tuple(reached), first)
        clicks.append(click)
        mask = segment(clicks)


def with_head(frame: PromptedFrame, start: np.ndarray | None, lesion: int, seconds: list[float]) -> Segment:
    """Segment with the model's prompt head; notes the time of each click."""

    def segment(clicks: list[Click]) -> np.ndarray:
        begin = time.perf_counter()
        found = frame.segment([(c.x, c.y) for c in clicks], [c.label for c in clicks], mask=start, lesion=lesion)
        seconds.append(time.perf_counter() - begin)
        return found

    return segment


def with_walker(pixels: np.ndarray, side: int) -> Segment:
    """Segment with scikit-image's random walker, at a smaller size."""
    from skimage.segmentation import random_walker

    height, width = pixels.shape[:2]
    small = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX), float) / 255

    def segment(clicks: list[Click]) -> np.ndarray:
        y, x = np.mgrid[:side, :side]
        seeds = np.zeros((side, side), int)
        if all(click.label for click in clicks):
            seeds[[0, -1], :] = seeds[:, [0, -1]] = 2
        for click in clicks:
            at_x, at_y = click.x * side / width - 0.5, click.y * side / height - 0.5
            seeds[(x - at_x) ** 2 + (y - at_y) ** 2 <= WALKER_DISC**2] = 1 if click.label else 2
        if set(np.unique(seeds)) != {0, 1, 2}:
            return np.zeros((height, width), bool)
        found = random_walker(small, seeds, beta=130, mode="cg_j", channel_axis=-1) == 1
        return np.asarray(Image.fromarray(found).resize((width, height), Image.Resampling.NEAREST))

    return segment


@torch.no_grad()
def model_mask(model: LoadedModel, pixels: np.ndarray) -> np.ndarray:
    """The model's own mask of a single frame."""
    logit = model.network(frames_to_tensor([pixels], model.image_size)[:, 0].unsqueeze(0))
    return logit_to_probability(logit, pixels.shape[:2])[0, 0].numpy() > 0.5


def read_frames(data: Path, names: Path | None, every: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the name, the pixels and the true mask of every Nth frame that shows a polyp."""
    clips: list[Clip]
    if any((data / name).is_dir() for name in ("TrainDataset", "TestEasyDataset", "TestHardDataset")):
        splits = ["TrainDataset"] * (data / "TrainDataset").is_dir() + find_test_splits(data)
        clips = [clip for split in splits for clip in read_split(data, split)]
    else:
        clips = find_stills(data)
    if names is not None:
        wanted = set(names.read_text(encoding="utf-8").split())
        clips = [clip for clip in clips if Path(clip.image[0]).stem in wanted]
    frames = [(clip, i) for clip in clips for i in range(len(clip.image))][::every]
    for clip, i in tqdm(frames, unit="frame"):
        assert clip.label is not None
        mask = read_mask(clip.label[i], clip.mask_rule)
        if mask.any():
            yield f"{clip.clip_id}/{Path(clip.image[i]).stem}", read_frame(clip.image[i]), mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=shipped_folder("bundle") / MODEL_FILE)
    parser.add_argument("--every", type=int, default=1, help="take every Nth frame")
    parser.add_argument("--names", type=Path, help="a file with the names of the pictures to take")
    parser.add_argument("--walker", action="store_true", help="compare with scikit-image's random walker")
    parser.add_argument("--output", type=Path, help="write the clicks of each frame to this CSV file")
    arguments = parser.parse_args()
    network, size = load_checkpoint(arguments.checkpoint)
    model = LoadedModel(fuse_norms(network), size)
    image_size = ensure_tuple_rep(size, 2)
    rows: dict[str, list[Row]] = {}
    missed: list[float] = []
    seconds: list[float] = []
    names = []
    for name, pixels, truth in read_frames(arguments.data, arguments.names, arguments.every):
        names.append(name)
        frame, own, nothing = PromptedFrame(model.network, pixels, image_size), model_mask(model, pixels), truth & False
        ways = {
            "from nothing": (with_head(frame, None, 1, seconds), nothing),
            "from the model's mask": (with_head(frame, own, 2, seconds), own),
        }
        if arguments.walker:
            ways["random walker"] = with_walker(pixels, image_size[0] // WALKER_SHARE), nothing
        for way, (segment, start) in ways.items():
            rows.setdefault(way, []).append(click_until_good(segment, start, truth))
        if iou(own, truth) < MISSED:
            missed.append(rows["from nothing"][-1].first)
    print(f"\n{len(names)} frames of {arguments.data.name}; {1000 * np.mean(seconds):.0f} ms a click")
    print(f"{'':24}{'NoC@85':>8}{'never':>7}{'NoC@90':>8}{'never':>7}{'IoU after 1':>13}")
    for way, found in rows.items():
        clicks, reached = np.array([row.clicks for row in found]), np.array([row.is_reached for row in found])
        numbers = "".join(f"{clicks[:, i].mean():8.2f}{1 - reached[:, i].mean():7.1%}" for i in range(len(GOALS)))
        first = "" if way == "from the model's mask" else f"{np.mean([row.first for row in found]):13.3f}"
        print(f"{way:24}{numbers}{first}")
    if missed:
        good = np.mean([quality >= FOUND for quality in missed])
        print(f"missed by the model: {len(missed)}; one click gives an IoU of {FOUND} in {good:.1%}")
    if arguments.output:
        with arguments.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["frame", *(f"{way} NoC@{round(100 * goal)}" for way in rows for goal in GOALS)])
            for i, name in enumerate(names):
                writer.writerow([name, *(n for found in rows.values() for n in found[i].clicks)])


if __name__ == "__main__":
    main()
