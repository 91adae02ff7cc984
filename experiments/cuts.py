"""How well cuts are found, and what finding them does to corrections.

Run from the repository's root; ``docs/experiments/cuts.md`` has the command and its results::

    python -m experiments.cuts --stills DIR/Kvasir-SEG --names bundle/configs/kvasir_seg_held_out.txt \\
        --dataset_dir DIR/CVC-ClinicDB

Videos at frame rate are a camera's moves over stills; CVC-ClinicDB's training sequences are pictures seconds apart. One
frame of each clip is corrected: the middle one of those with a Dice below 0.6, or the one with the lowest. Its mask is
carried in four ways; where masks are refined, those without the correction are, too. Frames to which it is not carried
keep what they had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from experiments.clips import ReadClip, parse_sources
from lsinet_monai.data import StillClip, find_stills, frames_to_tensor, read_frame, read_held_out, read_mask, read_split
from lsinet_monai.inferers import SequentialVideoInferer, VideoSession, encode_frames
from lsinet_monai.inferers.cuts import is_cut
from lsinet_monai.metrics import frame_dice
from lsinet_monai.networks import Features, LSINet, fuse_norms, load_checkpoint
from lsinet_monai.utils.error_line import report_input_errors_in_one_line

SIZE = (352, 440)  # of the clips from stills
STILL_FRAMES, SEQUENCE_FRAMES = 26, 14
NEAR = 10  # frames on either side
BAD = 0.6
APP = {"adjacent": "clearest", "smoothing": 0.35}
WAYS = (
    {},
    {"detect_cuts": True},
    {"detect_cuts": True, "refine": True},
    {"detect_cuts": True, "refine": True, **APP},  # the label app
)


def still_clips(folder: Path, names: Path, count: int) -> Iterator[ReadClip]:
    """Make clips at frame rate from validation stills."""
    for number, still in enumerate(find_stills(folder, only=read_held_out(names, "validation"))[:count]):
        (mask,) = still.label or ()
        clip = StillClip(read_frame(still.image[0]), read_mask(mask, still.mask_rule), SIZE, number, STILL_FRAMES)
        frames, masks = zip(*clip, strict=True)
        yield ReadClip(still.clip_id, frames, masks)


def sequences(dataset_dir: Path) -> Iterator[ReadClip]:
    """Read the beginnings of the training sequences."""
    for clip in read_split(dataset_dir, "TrainDataset"):
        images, labels = clip.image[:SEQUENCE_FRAMES], (clip.label or ())[:SEQUENCE_FRAMES]
        yield ReadClip(clip.clip_id, [read_frame(x) for x in images], [read_mask(x, clip.mask_rule) for x in labels])


def encode(clip: ReadClip, network: LSINet, image_size: int) -> list[Features]:
    """Encode the frames of a clip."""
    return [encode_frames([x], network)[0] for x in frames_to_tensor(clip.frames, image_size)[None].unbind(2)]


def dice(probabilities: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """The Dice of each frame at 0.5."""
    return np.array([frame_dice(p > 0.5, mask) for p, mask in zip(probabilities, masks, strict=True)])


def correct(clip: ReadClip, network: LSINet, image_size: int, inferer: SequentialVideoInferer) -> np.ndarray:
    """Correct one frame of a clip: the Dice of the frames near it before, and its change, (2, frames)."""
    session = VideoSession(network, clip.frames, image_size, inferer)
    own = [probability for _, probability in session.propagate()]
    before = dice(own, clip.masks)
    bad = np.flatnonzero(before < BAD)
    frame = int(bad[len(bad) // 2] if len(bad) else before.argmin())
    session.add_mask(frame, clip.masks[frame])
    result = {found.frame: found.probability for found in session.propagate_from(frame) if frame in found.carried}
    near = [at for at in range(max(0, frame - NEAR), min(len(own), frame + NEAR + 1)) if at != frame]
    after = dice([result.get(at, own[at]) for at in near], [clip.masks[at] for at in near])
    return np.stack([before[near], after - before[near]])


def painted(
    earlier: ReadClip, later: ReadClip, network: LSINet, image_size: int, inferer: SequentialVideoInferer
) -> bool:
    """Whether a correction before a cut paints more than half of its mask into the first frame after it."""
    frames = [earlier.frames[-1], *later.frames[:2]]
    session = VideoSession(network, frames, image_size, inferer)
    own = dict(session.propagate())[1] > 0.5
    session.add_mask(0, earlier.masks[-1])
    after = {x.frame: x.probability > 0.5 for x in session.propagate_from(0) if x.carried}.get(1, own)
    return bool((after & ~own).sum() > earlier.masks[-1].sum() / 2)


@torch.no_grad()
def main() -> None:
    report_input_errors_in_one_line()
    options = parse_sources(__doc__.partition("\n")[0], 16, "clips from stills")
    loaded, image_size = load_checkpoint(options.checkpoint)
    network = fuse_norms(loaded)
    videos = list(still_clips(options.stills, options.names, options.clips))
    pictures = list(sequences(options.dataset_dir))

    def rate(pairs: Sequence[tuple[Features, Features]]) -> str:
        return f"{sum(is_cut(*pair) for pair in pairs)} of {len(pairs)}"

    encoded = {id(clip): encode(clip, network, image_size) for clip in tqdm(videos + pictures, "encoding")}
    print("| pairs of frames | taken for a cut |\n|---|---|")
    ends = [(encoded[id(a)][-1], encoded[id(b)][0]) for a, b in pairwise(pictures)]
    print(f"| last frame of a sequence, first of the next | {rate(ends)} |")
    scenes = [(encoded[id(a)][0], encoded[id(b)][0]) for a, b in pairwise(videos)]
    print(f"| first frames of two stills | {rate(scenes)} |")
    for name, clips in (("clips from stills", videos), ("sequences", pictures)):
        print(f"| neighbours in the {name} | {rate([p for clip in clips for p in pairwise(encoded[id(clip)])])} |")

    print("\n| one correction per clip | without | with cuts found | with cuts found, refined | as in the label app |")
    print("|---|---|---|---|---|")
    ways = [SequentialVideoInferer(**way) for way in WAYS]
    for name, clips in (("clips from stills", videos), ("sequences", pictures)):
        found = [[correct(clip, network, image_size, way) for way in ways] for clip in tqdm(clips, name)]
        means = [[float(pair[way][1].mean()) for pair in found] for way in range(len(ways))]
        low = [np.concatenate([pair[way][1][pair[way][0] < BAD] for pair in found]) for way in range(len(ways))]
        cells = " | ".join(f"{np.mean(m):+.3f} (worst {min(m):+.3f})" for m in means)
        print(f"| {len(clips)} {name}, frames near | {cells} |")
        print(
            f"| of these, frames below {BAD} | " + " | ".join(f"{x.mean():+.3f} ({len(x)} frames)" for x in low) + " |"
        )
    cuts = list(pairwise(pictures))
    across = [sum(painted(*pair, network, image_size, way) for pair in tqdm(cuts, "cuts")) for way in ways]
    print("| painted across a cut | " + " | ".join(f"{count} of {len(cuts)}" for count in across) + " |")


if __name__ == "__main__":
    main()
