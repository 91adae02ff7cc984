"""How many lesions one polyp becomes in the label app.

    python benchmarks/lesions.py [--stills DIR] [--names FILE] [--clips N] [--frames N] [--cache DIR] [--output FILE]

Clips at frame rate from stills that the shipped model has not seen: the camera moves, polyps leave the view, and there
are glare, water, smoke, instruments and blur. Every second clip shows two polyps, side by side. The network finds the
masks as in the label app. Then their lesions are linked in four ways: by overlap alone (``LesionLinker``), by
``LesionTracker``, by it with ``join_tracks``, as in the app, and without the lesions that fewer than ``SHORT_TRACK``
frames show, as in the app's list.

In a frame, a lesion is a polyp if their IoU is above 0.5, as in MOTS (Voigtlaender et al., CVPR 2019), where a polyp is
at most one lesion. A lesion lies on the polyp with which it shares most pixels, if that is a tenth of its own, and on
every polyp of which it covers half; this counts slivers of masks that are wrong as well.

- ``tracks``: lesions that lie on a polyp in some frame, per polyp;
- ``switches``: how often a polyp is another lesion than in the last frame in which it was one, per clip;
- ``merges``: lesions that are both polyps, in different frames, per clip;
- ``slivers too``: how often the largest lesion on a polyp is another one than in the last frame that had one, per clip;
- ``two polyps``: lesions that lie on both polyps, in one frame or in different ones, per clip;
- ``and elsewhere``: lesions that lie on a polyp in some frames and on none in others, per clip;
- ``no polyp``: lesions that never lie on a polyp, per clip.

``--part`` measures every second pair of clips: the thresholds of ``LesionTracker`` were chosen on the even pairs of 26
clips from the held-out stills of Kvasir-SEG, but for how many frames joined tracks may share, which was chosen on all.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from label_app import make_app_inferer, without_specks
from scipy import ndimage

from lsinet_monai.data import StillClip, find_stills, frames_to_tensor, read_frame, read_held_out, read_mask
from lsinet_monai.masks import SHORT_TRACK, LesionLinker, LesionTracker, join_tracks, logit_to_probability
from lsinet_monai.networks import LoadedModel, fuse_norms, load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
SIZE = (384, 480)
EIGHT_NEIGHBOURS = np.ones((3, 3), bool)

# Clips ----------------------------------------------------------------------------------------------------------------


def make_clips(
    folder: Path, names: Path | None, count: int, frames: int
) -> Iterator[tuple[int, Callable[[], list[StillClip]]]]:
    """Yield the number of each clip, and a function that makes its one or two halves."""
    pictures = []
    for still in find_stills(folder, only=None if names is None else read_held_out(names)):
        mask = read_mask((still.label or [""])[0], still.mask_rule)
        if ndimage.label(mask, EIGHT_NEIGHBOURS)[1] == 1:  # otherwise it is not known which parts are one polyp
            pictures.append((still.image[0], mask))
    turns = itertools.cycle(pictures)
    for number in range(count):
        polyps = 1 + number % 2
        size = (SIZE[0], SIZE[1] // polyps)
        chosen = list(itertools.islice(turns, polyps))

        def make(chosen=chosen, size=size, seed=10 * number) -> list[StillClip]:  # type: ignore[no-untyped-def]
            return [make_clip(*one, size, seed + n, frames) for n, one in enumerate(chosen)]

        yield number, make


def make_clip(still: str, mask: np.ndarray, size: tuple[int, int], seed: int, frames: int) -> StillClip:
    """Make a clip that shows the polyp often, and once: past a still's rim the camera sees its mirror image."""
    for attempt in itertools.count():
        clip = StillClip(read_frame(still), mask, size, 1000 * attempt + seed, frames)
        shown = [clip.frame(index)[1] for index in range(0, frames, 5) if "instrument" not in clip.effects_at(index)]
        parts = [ndimage.label(mask, EIGHT_NEIGHBOURS)[1] for mask in shown]
        if max(parts, default=0) == 1 and np.mean(parts) > 0.5:
            return clip
    raise AssertionError("there is always a next attempt")


@torch.no_grad()
def predict(clip: list[StillClip], model: LoadedModel) -> dict[str, np.ndarray]:
    """Find a clip's masks: ``truth``, uint8, and ``masks``, bool, both (T, H, W); ``features``, (T, C, h, w)."""
    inferer = make_app_inferer(model.network)
    state = inferer.new_state()
    truth: list[np.ndarray] = []

    def tensors() -> Iterator[torch.Tensor]:
        for index in range(len(clip[0])):
            halves = [one.frame(index) for one in clip]
            truth.append(np.hstack([n * mask.astype(np.uint8) for n, (_, mask) in enumerate(halves, 1)]))
            yield frames_to_tensor([np.hstack([frame for frame, _ in halves])], model.image_size).movedim(1, 0)

    masks, features = [], []
    for logits in inferer.stream(tensors(), model.network, state):
        masks.append(without_specks(logit_to_probability(logits, SIZE)[0, 0].numpy() > 0.5))
        assert state.previous is not None
        features.append(state.previous.features[1][0].numpy())
    return {"truth": np.stack(truth), "masks": np.stack(masks), "features": np.stack(features)}


# Ways to link ---------------------------------------------------------------------------------------------------------


def by_overlap(masks: np.ndarray, features: np.ndarray) -> np.ndarray:
    linker = LesionLinker()
    return np.stack([linker(mask) for mask in masks])


def tracked(masks: np.ndarray, features: np.ndarray) -> np.ndarray:
    tracker = LesionTracker()
    return np.stack([tracker(*frame) for frame in zip(masks, features, strict=True)])


def joined(masks: np.ndarray, features: np.ndarray) -> np.ndarray:
    tracker = LesionTracker()
    labels = np.stack([tracker(*frame) for frame in zip(masks, features, strict=True)])
    table = np.arange(tracker.next_id)
    for lesion, into in join_tracks(tracker.tracks).items():
        table[lesion] = into
    return table[labels]


def listed(masks: np.ndarray, features: np.ndarray) -> np.ndarray:
    labels = joined(masks, features)
    lesions = np.concatenate([np.unique(frame) for frame in labels])
    return np.where(np.bincount(lesions)[labels] < SHORT_TRACK, 0, labels)


PER_CLIP = ("switches", "merges", "slivers too", "two polyps", "and elsewhere", "no polyp")
WAYS = {"overlap": by_overlap, "tracker": tracked, "tracker, joined": joined, "without short ones": listed}


# Scores ---------------------------------------------------------------------------------------------------------------


def score(labels: np.ndarray, truth: np.ndarray) -> Counter[str]:
    """Count what the table shows, of one clip: lesions and polyps, both (T, H, W)."""
    places: dict[int, set[int]] = {}  # by lesion: the polyps on which it lies, and 0 for none
    before: dict[int, int] = {}  # by polyp: the largest lesion on it
    last: dict[int, int] = {}  # by polyp: the lesion that it was
    polyps_of: dict[int, set[int]] = {}  # by lesion: the polyps that it was
    counts: Counter[str] = Counter()
    for lesions, polyps in zip(labels, truth, strict=True):
        count = int(labels.max()) + 1
        shared = np.bincount((3 * lesions.astype(np.int64) + polyps).ravel(), minlength=3 * count).reshape(count, 3)
        largest: dict[int, tuple[int, int]] = {}  # by polyp: its pixels in the largest lesion on it, and that lesion
        for lesion in np.flatnonzero(shared.sum(1)[1:]) + 1:
            polyp = int(shared[lesion, 1:].argmax()) + 1
            on_it = shared[lesion, polyp] >= max(1, 0.1 * shared[lesion].sum())
            on = {p for p in (1, 2) if (p == polyp and on_it) or 2 * shared[lesion, p] > shared[:, p].sum()}
            places.setdefault(int(lesion), set()).update(on or {0})
            if on_it and shared[lesion, polyp] > largest.get(polyp, (0, 0))[0]:
                largest[polyp] = int(shared[lesion, polyp]), int(lesion)
        for polyp, (_, main) in largest.items():
            counts["slivers too"] += before.setdefault(polyp, main) != main
            before[polyp] = main
        for polyp in (1, 2):
            both = shared[1:, polyp]
            is_it = np.flatnonzero(2 * both > shared[1:].sum(1) + shared[:, polyp].sum() - both) + 1
            for lesion in is_it.tolist():
                counts["switches"] += last.setdefault(polyp, lesion) != lesion
                last[polyp] = lesion
                polyps_of.setdefault(lesion, set()).add(polyp)
    counts["merges"] = sum(len(found) > 1 for found in polyps_of.values())
    counts["polyps"] = len(set(np.unique(truth).tolist()) - {0})
    for found in places.values():
        counts["tracks"] += len(found - {0})
        counts["two polyps"] += len(found - {0}) > 1
        counts["and elsewhere"] += 0 in found and len(found) > 1
        counts["no polyp"] += found == {0}
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stills", type=Path, default=ROOT / "examples" / "stills" / "segment")
    parser.add_argument("--names", type=Path, help="a list of held-out stills: use these alone")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "bundle" / "models" / "model.pt")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--part", choices=("even", "odd"), help="every second pair of clips")
    parser.add_argument("--cache", type=Path, help="keep the network's results in this folder, and use those in it")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    options = parser.parse_args()
    network, image_size = load_checkpoint(options.checkpoint)
    model = LoadedModel(fuse_norms(network), image_size)
    totals: dict[str, Counter[str]] = {way: Counter() for way in WAYS}
    for number, make in make_clips(options.stills, options.names, options.clips, options.frames):
        if options.part and number // 2 % 2 != (options.part == "odd"):
            continue
        file = options.cache / f"{number:03d}.npz" if options.cache else None
        if file is not None and file.exists():
            with np.load(file) as stored:
                found = dict(stored)
        else:
            found = predict(make(), model)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(file, **found)
        for way, link in WAYS.items():
            totals[way] += Counter({"clips": 1}) + score(link(found["masks"], found["features"]), found["truth"])
    rows = [
        {"way": way, "clips": total["clips"], "tracks": round(total["tracks"] / total["polyps"], 2)}
        | {name: round(total[name] / total["clips"], 2) for name in PER_CLIP}
        for way, total in totals.items()
    ]
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
