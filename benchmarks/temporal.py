"""What time is worth: masks of whole clips against masks of single frames, where some frames show little.

    python benchmarks/temporal.py [--models FILE ...] [--stills DIR] [--names FILE] [--split NAME] [--output DIR]
                                  [--sources NAME ...] [--dataset_dir DIR] [--clips 12x60 1x300] [--seed N]
                                  [--ways NAME ...]

Clips of 60 and 300 frames at frame rate: a camera moves over stills that no training saw (``--sources stills``, or
``clinicdb`` with ``--dataset_dir``), or through the phantom. Stretches of 1, 5 and 20 frames are spoiled: by blur,
glare, water, smoke or an instrument, or by a look away. The truth is what is visible.

The rows, for each model:

- ``a frame by itself``: the better of this network and the shipped one, each frame alone;
- ``the whole``: as the bundle's inference does it;
- ``without memory``: the same, but the memory holds the frame itself only;
- ``without neighbour``: the same, but the adjacent frame is the frame itself;
- ``causal``: the same, but the adjacent frame is the one before, for live video;
- ``not smoothed``: the same, without smoothing;
- ``not refined``: the same, but the prompt head does not draw the masks again;
- ``refined by itself``: each frame alone, and refined;
- ``as published``: the adjacent frame is the next one, nothing is smoothed, and cuts are not looked for;
- ``smoothed``: the probabilities of single frames, averaged over time by a Gaussian;
- ``smoothed along the flow``: averaged over both directions of time with exponential weights, while each place is
  followed from frame to frame by optical flow (DIS: Kroeger et al., ECCV 2016). Weights that also fall where the
  pictures differ along the flow, or that fall more slowly, gained less on spoiled frames.

The columns: the Dice at 0.5 on clean frames, on spoiled frames, and on the 5 frames after each stretch; flicker, see
:func:`~lsinet_monai.metrics.clinical_scores`; and false positives, the share of the frames without a visible polyp that
have a mark of more than a thousandth of the frame. All are means over the frames of a clip, then over clips, but false
positives are over all frames. A frame whose polyp covers less than a thousandth of it has no Dice. With several models
the last table shows the mean and the standard deviation over them.

A second table has the Dice on spoiled frames by their kind and by the length of their stretch. ``--output`` keeps each
clip's scores as soon as they are there, so that a run can be stopped and resumed. It also gets the tables as CSV, and
pictures of some clips: the truth in green, the masks in blue.
"""

from __future__ import annotations

import argparse
import csv
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from machine import find_device
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion, gaussian_filter1d
from torch import Tensor
from tqdm import tqdm

from lsinet_monai.data import find_stills, frames_to_tensor, phantom_clip, read_frame, read_held_out, read_mask
from lsinet_monai.data.stills import EFFECTS, SPOILINGS, SpoiledClip, StillClip, draw_stretches
from lsinet_monai.inferers import MemoryBank, SequentialVideoInferer
from lsinet_monai.inferers.frame_engine import FrameEngine
from lsinet_monai.masks import has_polyp, logit_to_probability
from lsinet_monai.metrics import ClinicalScorer
from lsinet_monai.networks import Features, LSINet, fuse_norms, load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "bundle" / "models" / "model.pt"
SIZE = (384, 480)
SMALL = (192, 240)  # where probabilities are smoothed; the network's own grid is coarser

# Seed and strength of the spoiling were set before any training for this benchmark, so that the shipped network, each
# frame alone, loses 0.15 to 0.35 Dice on spoiled frames.
SEED = 26
STRENGTH = 1.0
AFTER = 5  # frames after a stretch that are counted apart
PICTURES = 6  # clips of each model whose masks are drawn

# Chosen on the validation stills.
SIGMA = 3.0  # frames: the Gaussian's standard deviation
KEEP = 0.8  # of the weight: what is left of it one frame farther along the flow

# Clips ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClipId:
    """Which clip of a source; the same whichever others are measured."""

    source: str
    frames: int
    number: int
    seed: int = SEED

    def __str__(self) -> str:
        return f"{self.source}-{self.frames}-{self.number}-{self.seed}"

    def draw(self, attempt: int = 0) -> int:
        """Draw a seed of this clip's own."""
        return zlib.crc32(f"{self} {attempt}".encode())


MakeClip = Callable[[ClipId], StillClip | list[tuple[np.ndarray, np.ndarray]]]


def clips_of_stills(folder: Path, names: Sequence[str] | None) -> MakeClip:
    """Return what makes a clip of a still, which shows the polyp nearly all of the time."""
    stills = find_stills(folder, only=names)

    def make(clip: ClipId) -> StillClip:
        order = np.random.default_rng([clip.seed, clip.frames]).permutation(len(stills))
        still = stills[order[clip.number % len(stills)]]
        picture, mask = read_frame(still.image[0]), read_mask((still.label or [""])[0], still.mask_rule)
        calm = dict.fromkeys(EFFECTS, 0.0)
        tried = []
        for attempt in range(10):
            made = StillClip(picture, mask, SIZE, clip.draw(attempt), clip.frames, calm)
            areas = np.array([made.frame(index)[1].mean() for index in range(0, clip.frames, 10)])
            tried.append((float(((areas > 0.01) & (areas < 0.5)).mean()), attempt, made))
            if tried[-1][0] > 0.9:
                break
        return max(tried, key=lambda one: (one[0], -one[1]))[2]

    return make


def make_phantom(clip: ClipId) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(phantom_clip(clip.frames, SIZE, clip.seed, clip.number))


def spoil(clip: ClipId, make: MakeClip) -> SpoiledClip:
    """Make a clip and spoil stretches of it. Over six clips, each length meets each kind once."""
    drawn = draw_stretches(clip.draw(), clip.frames)
    # The kind that the next stretch of each length gets.
    turns = {length: clip.number + 2 * n for n, length in enumerate(sorted({stretch.length for stretch in drawn}))}
    stretches = []
    for stretch in drawn:
        stretches.append(replace(stretch, kind=SPOILINGS[turns[stretch.length] % len(SPOILINGS)]))
        turns[stretch.length] += 1
    return SpoiledClip(make(clip), stretches, STRENGTH)


# Masks ----------------------------------------------------------------------------------------------------------------


class CueEngine(FrameEngine):
    """Segment frames that are encoded already, with or without each of the two cues.

    Args:
        network: in evaluation mode.
        encoded: the frames of the clip.
        neighbour: whether the frame sees its adjacent frame, rather than itself in its place.
        memory: whether it sees the memory, rather than itself in its place.
    """

    def __init__(self, network: LSINet, encoded: Sequence[Features], neighbour: bool, memory: bool) -> None:
        super().__init__(network, None, None)
        self._encoded = iter(encoded)
        self._neighbour, self._memory = neighbour, memory

    def encode(self, frames: Sequence[Tensor]) -> list[Features]:
        return list(islice(self._encoded, len(frames)))

    def segment(
        self,
        current: Features,
        adjacent: Features,
        memory: MemoryBank,
        write: bool,
        size: tuple[int, int],
        usable: Tensor | None = None,
    ) -> Tensor:
        if not self._neighbour:
            adjacent = current
        if not self._memory:
            memory, write = MemoryBank(), False
        return super().segment(current, adjacent, memory, write, size, usable)


class CueInferer(SequentialVideoInferer):
    """The inferer of the package, over an engine of our own; further arguments are the inferer's."""

    def __init__(self, engine: CueEngine, **options: Any) -> None:
        super().__init__(**options)
        self._engine = engine

    def engine(self, network: LSINet) -> FrameEngine:
        return self._engine


ALONE, WHOLE = "a frame by itself", "the whole"
# As in bundle/configs/inference.json.
INFERENCE = {"adjacent": "clearest", "smoothing": 0.35, "detect_cuts": True, "refine": True}
CUES: dict[str, dict[str, Any]] = {
    ALONE: {"neighbour": False, "memory": False},
    "refined by itself": {"neighbour": False, "memory": False, "refine": True},
    "as published": {},
    "not smoothed": INFERENCE | {"smoothing": 0},
    "not refined": INFERENCE | {"refine": False},
    "without memory": INFERENCE | {"memory": False},
    "without neighbour": INFERENCE | {"neighbour": False},
    "causal": INFERENCE | {"adjacent": "previous"},
    WHOLE: INFERENCE,
}


class Model:
    """A network that segments the frames of a clip in each of the ways."""

    def __init__(self, path: Path, device: torch.device) -> None:
        network, self.image_size = load_checkpoint(path)
        self.name = f"{path.resolve().parent.name}-{path.stem}"  # trainings differ in their folders
        self.network = fuse_norms(network).to(device)
        head = {} if network.prompt_head is None else network.prompt_head.state_dict()
        of_head = zlib.crc32(b"".join(x.cpu().numpy().tobytes() for x in head.values()))
        self.fingerprint = f"{network.fingerprint()[:12]} {of_head:08x}"  # masks are refined by the prompt head
        self.device = device

    def tensors(self, frames: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """The frames as the network takes them, (1, 3, h, w) each."""
        for frame in frames:
            yield frames_to_tensor([frame], self.image_size).movedim(1, 0).to(self.device)

    @torch.no_grad()
    def encode(self, frames: Sequence[np.ndarray]) -> list[Features]:
        return [self.network.encode(x) for x in self.tensors(frames)]

    def segment(self, frames: Sequence[np.ndarray], encoded: Sequence[Features], way: str) -> Iterator[Tensor]:
        """Yield each frame's logit, (1, 1, h, w)."""
        options = dict(CUES[way])
        cues = {cue: options.pop(cue, True) for cue in ("neighbour", "memory")}
        options["refine"] = options.get("refine", False) and self.network.prompt_head is not None
        inferer = CueInferer(CueEngine(self.network, encoded, **cues), **options)
        for logit in inferer.stream(self.tensors(frames), self.network):
            yield logit.cpu()


def smooth(probabilities: np.ndarray, sigma: float) -> np.ndarray:
    """Average over time, float32, (T, H, W)."""
    return gaussian_filter1d(probabilities, sigma, axis=0, mode="nearest")


def smooth_along_flow(frames: Sequence[np.ndarray], probabilities: np.ndarray, keep: float) -> np.ndarray:
    """Average over time along the optical flow.

    Args:
        frames: uint8, (H, W, 3), RGB.
        probabilities: of the frames, float32, (T, h, w).
        keep: the weight of the frame next to the one to smooth, in [0, 1); that of the next one is its square.

    Returns:
        float32, (T, h, w).
    """
    size = probabilities.shape[:0:-1]
    grey = [cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for frame in frames]
    flow_of = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).astype(np.float32)
    total, weights = probabilities.copy(), np.ones((len(grey), 1, 1), np.float32)
    for order in (range(len(grey)), range(len(grey) - 1, -1, -1)):
        kept, weight, before = np.zeros_like(probabilities[0]), 0.0, order[0]
        for index in order[1:]:
            places = grid + flow_of.calc(grey[index], grey[before], None)
            kept, weight = kept + probabilities[before], weight + 1
            kept = keep * cv2.remap(kept, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            weight *= keep
            total[index] += kept
            weights[index] += weight
            before = index
    return total / weights


# Scores ---------------------------------------------------------------------------------------------------------------

COLUMNS = ("clean", "spoiled", "after", "flicker", "false positives")
DETAILS = (*(kind for kind in SPOILINGS if kind != "out of view"), "1 frame", "5 frames", "20 frames")


def columns_of(clip: SpoiledClip) -> list[tuple[str, ...]]:
    """List the columns in which each frame's Dice counts, if it shows a polyp."""
    columns: list[tuple[str, ...]] = []
    for index in range(len(clip)):
        stretch = clip.spoiled_at(index)
        if stretch is not None:
            length = f"{stretch.length} frame{'s' * (stretch.length > 1)}"
            columns.append(("spoiled", stretch.kind, length))
        else:
            is_after = any(clip.spoiled_at(before) for before in range(max(0, index - AFTER), index))
            columns.append(("after",) if is_after else ("clean",))
    return columns


def score(
    probabilities: Iterable[np.ndarray], truth: Sequence[np.ndarray], columns: Sequence[tuple[str, ...]]
) -> dict[str, float]:
    """Score the masks of a clip: its mean Dice by column, its flicker, and its frames without polyp and with marks."""
    scorer = ClinicalScorer()
    dice: dict[str, list[float]] = {}
    for probability, mask, names in zip(probabilities, truth, columns, strict=True):
        value = scorer.add(probability, mask)
        for name in names if has_polyp(mask) else ():
            dice.setdefault(name, []).append(value)
    counts = scorer.counts()
    means = {name: float(np.mean(values)) for name, values in dice.items()}
    rest = {"empty": counts.negative_frames, "marked": counts.false_positive_frames}
    return means | rest | {"flicker": counts.flicker / max(1, counts.pairs)}


Scores = dict[str, dict[str, float]]
"""Of a clip, by way."""


def measure(
    model: Model,
    clip: SpoiledClip,
    ways: Sequence[str],
    sigmas: Sequence[float],
    keeps: Sequence[float],
    bar: tqdm[Any],
) -> tuple[Scores, dict[str, list[np.ndarray]], list[tuple[np.ndarray, np.ndarray]]]:
    """Segment a clip in several ways. Returns the scores, the masks by way, and the clip's frames and truth."""
    drawn = [clip.frame(index) for index in range(len(clip))]
    frames, truth = [frame for frame, _ in drawn], [mask for _, mask in drawn]
    columns = columns_of(clip)
    encoded = model.encode(frames)
    bar.update(len(clip))
    scores: Scores = {}
    masks: dict[str, list[np.ndarray]] = {}
    for way in ways:
        small, kept = [], masks.setdefault(way, [])

        def probabilities(way=way, small=small, kept=kept):  # type: ignore[no-untyped-def]
            for logit in model.segment(frames, encoded, way):
                if way == ALONE:
                    small.append(logit_to_probability(logit, SMALL)[0, 0].numpy())
                probability = logit_to_probability(logit, SIZE)[0, 0].numpy()
                kept.append(probability > 0.5)
                bar.update()
                yield probability

        scores[way] = score(probabilities(), truth, columns)
        if way == ALONE:
            smoothed = {name_of(SMOOTHED, sigma): smooth(np.stack(small), sigma) for sigma in sigmas}
            smoothed |= {name_of(FLOW, keep): smooth_along_flow(frames, np.stack(small), keep) for keep in keeps}
            for name, values in smoothed.items():
                enlarged = (cv2.resize(value, SIZE[::-1], interpolation=cv2.INTER_LINEAR) for value in values)
                scores[name] = score(enlarged, truth, columns)
    return scores, masks, drawn


SMOOTHED, FLOW = "smoothed", "smoothed along the flow"


def name_of(way: str, value: float) -> str:
    """Name a row, with its setting if that is not the usual one."""
    return way if value == {SMOOTHED: SIGMA, FLOW: KEEP}[way] else f"{way}, {value:g}"


def mean_over_clips(clips: Sequence[Scores]) -> Scores:
    """Average each column over the clips that have it. NaN for a column that none has."""
    rows: Scores = {}
    for way in clips[0]:
        row = {}
        for column in (*COLUMNS, *DETAILS):
            values = [clip[way][column] for clip in clips if column in clip[way]]
            row[column] = float(np.mean(values)) if values else float("nan")
        empty = sum(clip[way]["empty"] for clip in clips)
        row["false positives"] = sum(clip[way]["marked"] for clip in clips) / empty if empty else float("nan")
        rows[way] = row
    return rows


def with_better_single_frames(rows: Scores, shipped: Scores) -> Scores:
    """Take the rows of single frames from the shipped model where it is better, and keep the network's own, renamed."""
    if rows[ALONE]["clean"] + rows[ALONE]["spoiled"] >= shipped[ALONE]["clean"] + shipped[ALONE]["spoiled"]:
        return rows
    return shipped | {"this network, a frame by itself": rows[ALONE]} | {w: rows[w] for w in rows if w not in shipped}


# Tables and pictures --------------------------------------------------------------------------------------------------


def print_tables(models: Sequence[Scores]) -> None:
    """Print the mean over the models, and the standard deviation if there are several."""
    for columns in (COLUMNS, DETAILS):
        print(f"\n| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
        for way in dict.fromkeys(way for rows in models for way in rows):
            values = np.array([[rows[way][column] for column in columns] for rows in models if way in rows])
            means, deviations = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None
            cells = [f"{mean:.3f}" for mean in means]
            if deviations is not None:
                cells = [f"{cell} ({deviation:.3f})" for cell, deviation in zip(cells, deviations, strict=True)]
            print(f"| {way} | {' | '.join(cells)} |", flush=True)


def draw_strip(
    clip: SpoiledClip, drawn: Sequence[tuple[np.ndarray, np.ndarray]], masks: dict[str, list[np.ndarray]]
) -> Image.Image:
    """Draw frames of each spoiled stretch and around it, with the masks of single frames above those of the whole."""
    starts = [i for i in range(1, len(clip)) if clip.spoiled_at(i) and clip.spoiled_at(i) != clip.spoiled_at(i - 1)]
    rows = []
    for start in starts[:3]:
        stretch = clip.spoiled_at(start)
        assert stretch is not None
        end = start + stretch.length
        inside = np.unique(np.linspace(start, end - 1, 4).round().astype(int)).tolist()
        around = 8 - len(inside)
        indices = [*range(start - around // 2, start), *inside, *range(end, end + around - around // 2)]
        for way in (ALONE, WHOLE):
            pictures = [draw_outlines(*drawn[index], masks[way][index]) for index in indices]
            ImageDraw.Draw(pictures[0]).text((4, 2), f"{stretch.kind}, {stretch.length}: {way}", "white")
            rows.append(np.hstack([np.asarray(picture) for picture in pictures]))
    return Image.fromarray(np.vstack(rows))


def draw_outlines(frame: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Image.Image:
    drawn = frame.copy()
    for area, colour in ((truth, (0, 255, 0)), (mask, (0, 80, 255))):
        drawn[area & ~binary_erosion(area, iterations=3)] = colour
    return Image.fromarray(drawn).resize(SMALL[::-1])


class Results:
    """The scores of each model on each clip, also kept in a folder, from which a later run takes them.

    Args:
        folder: None to keep nothing.
        pictures: what the clips are made of; scores of other clips are kept apart.
    """

    def __init__(self, folder: Path | None, pictures: str) -> None:
        self.folder = folder
        self.pictures = pictures
        self._scores: dict[str, Scores] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "clips.jsonl"
            for line in file.read_text().splitlines() if file.exists() else ():
                self._scores.update(json.loads(line))

    def get(self, model: Model, clip: ClipId, ways: Sequence[str]) -> Scores | None:
        """Return what is known of a clip, or None if a way is missing."""
        scores = self._scores.get(self._key(model, clip), {})
        return {way: scores[way] for way in ways} if all(way in scores for way in ways) else None

    def add(self, model: Model, clip: ClipId, scores: Scores) -> None:
        key = self._key(model, clip)
        self._scores[key] = self._scores.get(key, {}) | scores
        if self.folder is not None:
            with (self.folder / "clips.jsonl").open("a") as file:
                file.write(json.dumps({key: self._scores[key]}) + "\n")

    def write_table(self, rows: Sequence[dict[str, Any]]) -> None:
        if self.folder is not None:
            with (self.folder / "table.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)

    def save_strip(self, model: Model, clip: ClipId, strip: Image.Image) -> None:
        if self.folder is not None:
            strip.save(self.folder / f"{model.name}-{clip}.png")

    def _key(self, model: Model, clip: ClipId) -> str:
        return f"{model.fingerprint} {model.image_size} {clip} {STRENGTH:g} {self.pictures}"


def compare(options: argparse.Namespace, source: str, make: MakeClip, results: Results) -> list[dict[str, Any]]:
    """Measure all models on the clips of a source, print the tables, and return the rows of the CSV file."""
    device = find_device(options.device)
    models = [Model(path, device) for path in options.models]
    shipped = Model(SHIPPED, device)
    shipped.name = "shipped"
    if all(model.fingerprint != shipped.fingerprint for model in models):
        models.insert(0, shipped)
    clips = [ClipId(source, frames, n, options.seed) for count, frames in options.clips for n in range(count)]
    smoothed = [*(name_of(SMOOTHED, x) for x in options.sigma), *(name_of(FLOW, x) for x in options.keep)]
    # The smoothed rows need those of single frames.
    ways = [ALONE, *(way for way in options.ways if way != ALONE)]
    cues = {model.fingerprint: [ALONE] if model is shipped else ways for model in models}
    work = sum(clip.frames for clip in clips) * sum(1 + len(cues[model.fingerprint]) for model in models)
    rows: list[dict[str, Any]] = []
    tables: list[Scores] = []
    single: Scores = {}
    with tqdm(total=work, unit="frame", desc=source) as bar:
        for model in models:
            shown, scores = cues[model.fingerprint], []
            for number, clip_id in enumerate(clips):
                known = results.get(model, clip_id, [*shown, *smoothed])
                if known is None:
                    clip = spoil(clip_id, make)
                    known, masks, drawn = measure(model, clip, shown, options.sigma, options.keep, bar)
                    results.add(model, clip_id, known)
                    if number < PICTURES and WHOLE in shown:
                        results.save_strip(model, clip_id, draw_strip(clip, drawn, masks))
                else:
                    bar.update(clip_id.frames * (1 + len(shown)))
                scores.append(known)
            found = mean_over_clips(scores)
            rows += [{"source": source, "model": model.name, "way": way} | row for way, row in found.items()]
            if model.fingerprint == shipped.fingerprint:
                single = {way: found[way] for way in (ALONE, *smoothed)}
            if model is not shipped:
                tables.append(found)
            print(f"\n{source}, {model.name}, {len(clips)} clips")
            print_tables([found])
    if len(models) > 1:
        # The shipped model may come after others in the list.
        print(f"\n{source}: {len(tables)} models")
        print_tables([with_better_single_frames(found, single) for found in tables])
    return rows


def parse_clips(text: str) -> tuple[int, int]:
    """Parse a number of clips and their length, such as 12x60."""
    count, frames = text.split("x")
    return int(count), int(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, nargs="+", default=[SHIPPED])
    parser.add_argument(
        "--ways", nargs="+", choices=list(CUES), default=list(CUES), help="rows, besides the smoothed ones"
    )
    parser.add_argument("--sources", nargs="+", choices=("stills", "clinicdb", "phantom"), default=["stills"])
    parser.add_argument("--stills", type=Path, default=ROOT / "examples" / "stills" / "segment")
    parser.add_argument("--names", type=Path, help="a list of held-out stills: use these alone")
    parser.add_argument("--split", help="of this list")
    parser.add_argument("--dataset_dir", type=Path, help="CVC-ClinicDB, whose training sequences are used as stills")
    parser.add_argument(
        "--clips", type=parse_clips, nargs="+", default=[(12, 60), (1, 300)], help="12x60: 12 of 60 frames"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sigma", type=float, nargs="+", default=[SIGMA], help="of the Gaussian, in frames")
    parser.add_argument(
        "--keep", type=float, nargs="+", default=[KEEP], help="weight of a frame's neighbour along the flow"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a folder for scores, tables and pictures")
    options = parser.parse_args()
    cv2.setNumThreads(torch.get_num_threads())
    if "clinicdb" in options.sources and options.dataset_dir is None:
        parser.error("--sources clinicdb needs --dataset_dir")
    pictures = f"{options.stills} {options.names} {options.split} {options.dataset_dir}"
    results = Results(options.output, pictures)
    rows = []
    for source in options.sources:
        if source == "phantom":
            make: MakeClip = make_phantom
        elif source == "clinicdb":
            make = clips_of_stills(options.dataset_dir / "TrainDataset", None)
        else:
            names = None if options.names is None else read_held_out(options.names, options.split)
            make = clips_of_stills(options.stills, names)
        rows += compare(options, source, make, results)
        results.write_table(rows)


if __name__ == "__main__":
    main()
