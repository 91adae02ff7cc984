"""Whether the label app's doubt finds the network's faults, on clips whose truth is known.

    python benchmarks/doubt.py [--stills DIR] [--names FILE] [--split NAME] [--clips N] [--cache DIR]

Clips of 80 frames at 25 frames/s, made from stills that the shipped model has not seen, with the usual effects. The
network segments them in the way of the app. Two numbers for each measure of doubt:

- its correlation with 1 - Dice over the frames, Pearson's and Spearman's;
- how many of the worst tenth of the frames are within half a second of one of the first fifth of the stops. Frames that
  tie with the last of the worst count too. Stops are of two kinds: those of the page's key N, which lie in the most
  doubtful quarter of a video, in the order of their doubt; and the places of its key D, all over the video.

Each is computed in each clip and then averaged, and over the frames of all clips together. Frames with an effect that
blurs or whitens the picture do not count: nobody could correct them. The frames in which the camera looks away from the
polyp are left out in the first table, and count in the second: a false finding there is a fault, and a stop at it is
right. In the third all frames count. The last row is the best that any doubt can reach, the error itself.

The last table plants a fault into each clip: the network loses the polyp for 15 frames, and is sure of that.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from label_app import make_app_inferer, without_specks
from scipy.stats import pearsonr, spearmanr
from tqdm import tqdm

from lsinet_monai.data import (
    Clip,
    StillClip,
    find_stills,
    frame_quality,
    frames_to_tensor,
    read_frame,
    read_held_out,
    read_mask,
    unclear_frames,
)
from lsinet_monai.masks import (
    doubtful_places,
    expected_error,
    fault_doubts,
    frame_doubts,
    has_polyp,
    logit_to_probability,
    mask_change,
    temporal_disagreement,
    uncertainty,
)
from lsinet_monai.metrics import frame_dice
from lsinet_monai.networks import LoadedModel, fuse_norms, load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
SIZE, FRAMES, FPS = (384, 480), 80, 25
SPOILT = {"glare", "defocus", "shake"}  # effects after which nobody could correct a frame
MIN_FRAMES = 10  # that count, for a clip's own numbers
LOST = range(33, 48)  # frames of the planted fault


@dataclass
class Segmented:
    """What is known of each frame of a clip, in lists."""

    effects: list[set[str]]
    error: list[float] = field(default_factory=list)
    """1 - Dice."""
    values: dict[str, list[Any]] = field(default_factory=dict)
    """As the app stores them."""

    def faults(self, hidden: set[str]) -> np.ndarray:
        """1 - Dice, float, (T,), NaN where the frame has an effect of ``hidden``."""
        return np.array([np.nan if names & hidden else e for names, e in zip(self.effects, self.error, strict=True)])


@dataclass
class Measure:
    """A measure of doubt.

    Args:
        name: for the table.
        doubts: computes it for each frame of a clip.
        skips: whether stops skip frames that look blurred or white.
    """

    name: str
    doubts: Callable[[Segmented], Sequence[float | None]]
    skips: bool = True


MEASURES = [
    Measure("uncertainty alone", lambda clip: clip.values["uncertainty"], skips=False),
    Measure(
        "uncertainty and disagreement",
        lambda clip: frame_doubts(clip.values["uncertainty"], temporal_disagreement(clip.values["changes"])),
        skips=False,
    ),
    Measure("expected error", lambda clip: clip.values["errors"]),
    Measure("expected error and gaps", lambda clip: fault_doubts(clip.values["errors"], clip.values["has_polyp"], FPS)),
    Measure("the error itself", lambda clip: clip.error),
]


def make_clip(still: Clip) -> StillClip:
    """The clip of a still; it is the same whichever others are chosen."""
    seed = zlib.crc32(still.clip_id.encode())
    return StillClip(
        read_frame(still.image[0]), read_mask((still.label or [""])[0], still.mask_rule), SIZE, seed, FRAMES
    )


def segment(clip: StillClip, model: LoadedModel) -> np.ndarray:
    """The network's logits of a clip: float16, (T, h, w)."""
    inferer = make_app_inferer(model.network)
    frames = (frames_to_tensor([frame], model.image_size).movedim(1, 0) for frame, _ in clip)
    with torch.inference_mode():
        logits = [x[0, 0].numpy() for x in inferer.stream(frames, model.network, inferer.new_state())]
    return np.stack(logits).astype(np.float16)


def describe(clip: StillClip, logits: np.ndarray, threshold: float = 0.5) -> Segmented:
    """Compare the masks of a clip with the truth, and compute what the app stores."""
    found = Segmented([set(clip.effects_at(index)) for index in range(len(clip))])
    before: np.ndarray | None = None
    for (frame, truth), logit in zip(clip, logits, strict=True):
        probability = logit_to_probability(torch.from_numpy(logit), truth.shape).numpy()
        mask = without_specks(probability > threshold)
        found.error.append(1 - frame_dice(mask, truth))
        values = {
            "uncertainty": uncertainty(probability),
            "errors": expected_error(probability, mask),
            "changes": None if before is None else mask_change(before, mask),
            "quality": frame_quality(frame),
            "has_polyp": has_polyp(mask),
        }
        for name, value in values.items():
            found.values.setdefault(name, []).append(value)
        before = mask
    return found


def find_stops(doubts: Sequence[float | None], left_out: Sequence[int] = ()) -> list[int]:
    """The page's stops: see ``doubtfulFrames`` in ``apps/lsinet_label/page/doubt.js``."""
    left = set(left_out)
    clear = [frame for frame, value in enumerate(doubts) if value and frame not in left]
    clear.sort(key=lambda frame: -(doubts[frame] or 0))
    stops: list[int] = []
    for frame in clear:
        if doubts[frame] == doubts[clear[len(clear) // 4]]:
            break
        if all(abs(frame - other) > round(FPS / 2) for other in stops):
            stops.append(frame)
    return stops


def share_found(faults: np.ndarray, stops: Sequence[tuple[float, int]]) -> float:
    """How many of the worst tenth of the frames are near one of the first fifth of the stops, in [0, 1].

    Args:
        faults: 1 - Dice, float, (T,), NaN where a frame does not count.
        stops: the doubt of each stop and its frame.
    """
    known = np.sort(faults[~np.isnan(faults)])[::-1]
    worst = np.flatnonzero(faults >= known[round(0.1 * len(known)) - 1])
    first = sorted(stops, reverse=True)[: max(1, round(0.2 * len(stops)))]
    near = [any(abs(frame - stop) <= FPS / 2 for _, stop in first) for frame in worst]
    return float(np.mean(near))


def find_both(doubts: Sequence[float | None], left_out: Sequence[int]) -> tuple[list[tuple[float, int]], ...]:
    """The stops of N and of D, each with its doubt."""
    stops = [(doubts[frame] or 0.0, frame) for frame in find_stops(doubts, left_out)]
    return stops, [(doubt, frame) for frame, doubt in doubtful_places(doubts, FPS, left_out)]


def rate(clips: Sequence[Segmented], measure: Measure, hidden: set[str]) -> list[float]:
    """The correlations, and the share found by N and by D: each as mean over clips and over all frames."""
    rows: list[list[float]] = []
    all_doubts: list[float] = []
    all_faults: list[float] = []
    all_stops: tuple[list[tuple[float, int]], ...] = [], []
    for number, clip in enumerate(clips):
        faults = clip.faults(hidden)
        doubts = measure.doubts(clip)
        stops = find_both(doubts, unclear_frames(clip.values["quality"]) if measure.skips else ())
        known = np.array(doubts, float)
        if np.count_nonzero(~np.isnan(faults)) >= MIN_FRAMES:
            rows.append([*correlations(known, faults), *(share_found(faults, kind) for kind in stops)])
        for kind, more in zip(all_stops, stops, strict=True):
            # With the next clip so far away that no stop of one is near a frame of the other.
            kind += [(doubt, frame + 2 * FRAMES * number) for doubt, frame in more]
        for values, own in ((all_doubts, known), (all_faults, faults)):
            values += [*own, *[np.nan] * FRAMES]
    together = np.array(all_doubts), np.array(all_faults)
    overall = [*correlations(*together), *(share_found(together[1], kind) for kind in all_stops)]
    return [value for pair in zip(np.mean(rows, axis=0), overall, strict=True) for value in pair]


def correlations(doubts: np.ndarray, faults: np.ndarray) -> tuple[float, float]:
    """Pearson's and Spearman's correlation over the frames that count; 0 if one of the two never varies."""
    known = ~np.isnan(faults)
    doubts, faults = doubts[known], faults[known]
    if np.ptp(doubts) == 0 or np.ptp(faults) == 0:
        return 0.0, 0.0
    return float(pearsonr(doubts, faults)[0]), float(spearmanr(doubts, faults)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stills", type=Path, default=ROOT / "examples" / "stills" / "segment")
    parser.add_argument("--names", type=Path, help="a list of the stills to take, as in bundle/configs")
    parser.add_argument("--split", help="only the list's stills of this split")
    parser.add_argument("--clips", type=int, help="take so many stills, evenly spread")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "bundle" / "models" / "model.pt")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the network's logits for the next run")
    options = parser.parse_args()
    stills = find_stills(options.stills, only=read_held_out(options.names, options.split) if options.names else None)
    count = min(options.clips or len(stills), len(stills))
    stills = [stills[index * len(stills) // count] for index in range(count)]
    network, image_size = load_checkpoint(options.checkpoint)
    model = LoadedModel(fuse_norms(network).eval(), image_size)
    clips = []
    for still in tqdm(stills, desc="clips"):
        clip = make_clip(still)
        file = options.cache and options.cache / f"{still.clip_id.rpartition('/')[2]}.npz"
        if file and file.is_file():
            logits = np.load(file)["logits"]
        else:
            logits = segment(clip, model)
            if file:
                file.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(file, logits=logits)
        clips.append(describe(clip, logits))
    kinds = {"clear frames with the polyp in view": SPOILT | {"absence"}, "clear frames": SPOILT, "all frames": set()}
    for title, hidden in kinds.items():
        counting = [clip.faults(hidden) for clip in clips]
        number = sum(np.count_nonzero(~np.isnan(faults)) for faults in counting)
        print(f"\n{number} {title} of {len(clips)} clips: mean over the clips / over all frames\n")
        print("| doubt | Pearson | Spearman | worst tenth found by N | by D |\n|---|---|---|---|---|")
        for measure in MEASURES:
            cells = [f"{value:.2f}" for value in rate(clips, measure, hidden)]
            pairs = " | ".join(f"{mean} / {overall}" for mean, overall in zip(cells[::2], cells[1::2], strict=True))
            print(f"| {measure.name} | {pairs} |")
    report_lost(clips)
    print(f"\n{report_unclear(clips)}")


def report_lost(clips: Sequence[Segmented]) -> None:
    """Print in how many clips a stop is at the planted fault; only clips that have a mask before, after and in it."""
    around = range(LOST.start - 1, LOST.stop + 1)
    fitting = [clip for clip in clips if all(clip.values["has_polyp"][frame] for frame in around)]
    print(f"\nA polyp lost for {len(LOST)} frames, in {len(fitting)} clips\n")
    print("| doubt | clips with a stop there | with the clip's first stop there |\n|---|---|---|")
    for measure in MEASURES[:-1]:
        found = first = 0
        for clip in fitting:
            clip = lose_polyp(clip)
            doubts = measure.doubts(clip)
            stops = find_stops(doubts, unclear_frames(clip.values["quality"]) if measure.skips else ())
            found += any(stop in LOST for stop in stops)
            first += any(stop in LOST for stop in stops[:1])
        print(f"| {measure.name} | {found} | {first} |")


def lose_polyp(clip: Segmented) -> Segmented:
    """The clip with the values of a sure, empty map in the frames of the planted fault."""
    values = {name: list(known) for name, known in clip.values.items()}
    for frame in LOST:
        for name, value in (("uncertainty", 0.0), ("errors", 0.0), ("changes", 0.0), ("has_polyp", False)):
            values[name][frame] = value
    values["changes"][LOST.start] = values["changes"][LOST.stop] = 1.0
    return Segmented(clip.effects, clip.error, values)


def report_unclear(clips: Sequence[Segmented]) -> str:
    """How many frames stops skip, with and without an effect that spoils the picture."""
    skipped: dict[bool, list[bool]] = {True: [], False: []}
    for clip in clips:
        unclear = set(unclear_frames(clip.values["quality"]))
        for frame, names in enumerate(clip.effects):
            skipped[bool(names & SPOILT)].append(frame in unclear)
    spoilt, clear = (f"{sum(skipped[kind])} of {len(skipped[kind])}" for kind in (True, False))
    return f"Stops skip {spoilt} frames with glare, defocus or shake, and {clear} others."


if __name__ == "__main__":
    main()
