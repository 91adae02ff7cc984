"""What tells frames of one scene from frames of two: fits the numbers of ``lsinet_monai/inferers/cuts.py``.

Run from the repository's root; ``docs/experiments/cuts.md`` has the command and its results::

    python -m experiments.scenes --stills DIR/Kvasir-SEG --names NAMES --dataset_dir DIR/CVC-ClinicDB

Pairs of one scene are frames of a clip at frame rate, which a camera's moves over a validation still make, or over a
frame of CVC-ClinicDB's training set: each frame, and the last one before it that is not spoiled. Where the camera looks
away they do not count. Pairs of two scenes are frames of two such clips, and of two of ClinicDB's training sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from tqdm import tqdm

from experiments.clips import parse_sources
from lsinet_monai.data import Clip, find_stills, frames_to_tensor, read_frame, read_held_out, read_mask, read_split
from lsinet_monai.data.stills import EFFECTS, SpoiledClip, StillClip, draw_stretches
from lsinet_monai.inferers import encode_frames
from lsinet_monai.inferers.cuts import is_cut, scene_measures
from lsinet_monai.networks import Features, LSINet, fuse_norms, load_checkpoint
from lsinet_monai.utils.error_line import report_input_errors_in_one_line

SIZE, FRAMES, STRENGTH = (384, 480), 60, 1.0
MEASURES = ("likeness", "likeness by chance", "share that comes back", "less clear")
FOUND = (0.98, 0.95, 0.9, 0.85)  # shares of ClinicDB's pairs of two scenes


class Pair(NamedTuple):
    kind: str
    """What the later frame shows: "clean", or how it is spoiled; "cut" for two scenes."""
    source: str
    measures: list[float]
    is_cut: bool
    """Whether the package takes it for a cut."""


def compare(kind: str, source: str, earlier: Features, later: Features) -> Pair:
    return Pair(kind, source, [float(x) for x in scene_measures(earlier, later)], is_cut(earlier, later))


def make_clip(still: Clip, seed: int) -> SpoiledClip:
    """Make a clip of a still with spoiled stretches."""
    (mask,) = still.label or ()
    calm = dict.fromkeys(EFFECTS, 0.0)
    clip = StillClip(read_frame(still.image[0]), read_mask(mask, still.mask_rule), SIZE, seed, FRAMES, calm)
    return SpoiledClip(clip, draw_stretches(seed, FRAMES), STRENGTH)


def encode(frames: Iterator[np.ndarray], network: LSINet, image_size: int) -> list[Features]:
    tensors = (frames_to_tensor([frame], image_size).movedim(1, 0) for frame in frames)
    return [encode_frames([x], network)[0] for x in tensors]


def pairs_of_clips(
    stills: Sequence[Clip], count: int, source: str, network: LSINet, image_size: int, seed: int = 0
) -> Iterator[Pair]:
    """Compare frames within clips of stills, and frames of each clip with one of the clip before."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(stills), min(count, len(stills)), replace=False)
    before: list[Features] = []
    for number in tqdm(chosen, f"clips of {source}"):
        clip = make_clip(stills[number], seed + int(number))
        frames = encode((clip.frame(index)[0] for index in range(FRAMES)), network, image_size)
        last = 0
        for index in range(1, FRAMES):
            stretch = clip.spoiled_at(index)
            if stretch is None or stretch.kind != "out of view":
                yield compare(stretch.kind if stretch else "clean", source, frames[last], frames[index])
            last = index if stretch is None else last
        clean = [frame for index, frame in enumerate(frames) if clip.spoiled_at(index) is None]
        for earlier, later in zip(before, clean[::2], strict=False):
            yield compare("cut", source, earlier, later)
        before = clean


def pairs_of_sequences(dataset_dir: Path, network: LSINet, image_size: int, seed: int = 0) -> Iterator[Pair]:
    """Compare frames of each of ClinicDB's training sequences with frames of all others."""
    generator = np.random.default_rng(seed)
    clips = read_split(dataset_dir, "TrainDataset")
    encoded = [encode(map(read_frame, clip.image), network, image_size) for clip in tqdm(clips, "sequences")]
    for i, one in enumerate(encoded):
        for j, other in enumerate(encoded):
            if i != j:
                earlier, later = (frames[generator.integers(len(frames))] for frames in (one, other))
                yield compare("cut", "sequences", earlier, later)


def fit(pairs: Sequence[Pair]) -> np.ndarray:
    """Fit a logistic regression; returns the measures' weights, relative to the likeness's."""
    x = np.array([pair.measures for pair in pairs])
    sign = np.where([pair.kind == "cut" for pair in pairs], 1.0, -1.0)

    def loss(weights: np.ndarray) -> float:
        return float(np.logaddexp(0, -sign * (x @ weights[:-1] + weights[-1])).mean())

    weights = minimize(loss, np.zeros(x.shape[1] + 1)).x
    return weights[:-1] / -weights[0]


def print_rates(pairs: Sequence[Pair], taken: np.ndarray, name: str) -> None:
    """Print the share of the pairs of each kind that are taken for a cut."""
    cells = [name]
    for source in ("sequences", "ClinicDB", "stills"):
        for kinds in (("cut",), ("clean",), ("blur", "glare", "water", "smoke", "instrument")):
            fits = np.array([pair.source == source and pair.kind in kinds for pair in pairs])
            if fits.any():
                cells.append(f"{taken[fits].mean():.3f}")
    print(f"| {' | '.join(cells)} |")


@torch.no_grad()
def main() -> None:
    report_input_errors_in_one_line()
    options = parse_sources(__doc__.partition("\n")[0], 20, "clips of each source")
    loaded, image_size = load_checkpoint(options.checkpoint)
    model = fuse_norms(loaded), image_size
    stills = find_stills(options.stills, only=read_held_out(options.names, "validation"))
    pairs = list(pairs_of_sequences(options.dataset_dir, *model))
    pairs += pairs_of_clips(find_stills(options.dataset_dir / "TrainDataset"), options.clips, "ClinicDB", *model)
    pairs += pairs_of_clips(stills, options.clips, "stills", *model)

    weights = fit(pairs)
    print("weights: " + ", ".join(f"{name} {-weight:.3f}" for name, weight in zip(MEASURES, weights, strict=True)))
    print(
        "\n| taken for a cut | two sequences | two clips of ClinicDB | clean | spoiled | two stills | clean | spoiled |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print_rates(pairs, np.array([pair.is_cut for pair in pairs]), "the package")
    scores = np.array([pair.measures for pair in pairs]) @ weights
    two = np.array([pair.kind == "cut" and pair.source == "sequences" for pair in pairs])
    for share in FOUND:
        limit = np.quantile(scores[two], 1 - share)
        print_rates(pairs, scores > limit, f"refitted, below {-limit:.3f}")


if __name__ == "__main__":
    main()
