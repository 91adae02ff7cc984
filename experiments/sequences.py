"""What inference does to pictures that are no video: CVC-ClinicDB's sequences, whose frames are seconds apart.

Run from the repository's root; ``docs/experiments/refining.md`` has the command and its results::

    python -m experiments.sequences --dataset_dir DIR/CVC-ClinicDB [--split TestEasyDataset/Unseen]
        [--checkpoint FILE] [--ways WAY ...]

For each way of segmenting them it prints the Dice at 0.5, and the share of frames with an IoU of at least 0.85: means
over a sequence's frames, then over sequences.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from lsinet_monai.data import frames_to_tensor, read_frame, read_mask, read_split
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.metrics import frame_dice
from lsinet_monai.networks import LSINet, fuse_norms, load_checkpoint
from lsinet_monai.utils.error_line import report_input_errors_in_one_line

GOOD_IOU = 0.85
PUBLISHED = SequentialVideoInferer()
PUBLISHED_REFINED = SequentialVideoInferer(refine=True)
ALONE = ("a frame by itself", "a frame by itself, refined")
WAYS = {
    "a frame by itself": PUBLISHED,
    "a frame by itself, refined": PUBLISHED_REFINED,
    "as published": PUBLISHED,
    "as published, refined": PUBLISHED_REFINED,
    "as inference does it, not refined": SequentialVideoInferer(adjacent="clearest", detect_cuts=True, smoothing=0.35),
    "as inference does it": SequentialVideoInferer(adjacent="clearest", detect_cuts=True, smoothing=0.35, refine=True),
}


def segment(frames: Tensor, network: LSINet, way: str) -> list[Tensor]:
    """Segment a sequence, (1, 3, T, H, W), in one of the ways: the logit of each frame, (1, 1, H, W)."""
    # A clip of one frame has no memory, and no neighbour but itself.
    clips = frames.split(1, 2) if way in ALONE else [frames]
    return [logit for clip in clips for logit in WAYS[way].stream(clip.unbind(2), network)]


def score(logits: Sequence[Tensor], masks: Sequence[np.ndarray]) -> np.ndarray:
    """The mean Dice of a sequence, and its share of frames with an IoU of at least 0.85: (2,)."""
    scores = []
    for logit, truth in zip(logits, masks, strict=True):
        mask = logit_to_probability(logit, truth.shape)[0, 0].numpy() > 0.5
        union = np.count_nonzero(mask | truth)
        iou = np.count_nonzero(mask & truth) / union if union else 1.0
        scores.append((frame_dice(mask, truth), iou >= GOOD_IOU))
    return np.mean(scores, axis=0)


def main() -> None:
    report_input_errors_in_one_line()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset_dir", type=Path, required=True, help="CVC-ClinicDB")
    parser.add_argument("--split", default="TrainDataset")
    parser.add_argument("--checkpoint", type=Path, default=Path("bundle/models/model.pt"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help="only these")
    options = parser.parse_args()
    network, image_size = load_checkpoint(options.checkpoint)
    network = fuse_norms(network)
    found: dict[str, list[np.ndarray]] = {way: [] for way in options.ways}
    for clip in tqdm(read_split(options.dataset_dir, options.split), desc="sequences"):
        masks = [read_mask(path, clip.mask_rule) > 0 for path in clip.label or ()]
        frames = frames_to_tensor([read_frame(path) for path in clip.image], image_size)[None]
        for way, scores in found.items():
            scores.append(score(segment(frames, network, way), masks))
    print("| way | Dice | IoU of 0.85 |\n|---|---|---|")
    for way, scores in found.items():
        dice, good = np.mean(scores, axis=0)
        print(f"| {way} | {dice:.3f} | {good:.2f} |")


if __name__ == "__main__":
    main()
