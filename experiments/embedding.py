"""How a person's mask acts on the frames around it through a memory that listens to masks, and carried there as well.

Run from the repository's root, with and without a mask embedding; ``docs/experiments/corrections.md`` has the results::

    python -m experiments.embedding --stills DIR/Kvasir-SEG --names bundle/configs/kvasir_seg_held_out.txt \\
        --checkpoint MODEL

One frame of each clip gets its true mask: the middle one of those with a Dice below 0.6, or the one with the lowest. It
prints how the Dice of the 10 frames on either side changes, of all of them and of those that were below 0.6.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
from tqdm import tqdm

from experiments.clips import ReadClip
from experiments.cuts import BAD, NEAR, dice, still_clips
from lsinet_monai.inferers import SequentialVideoInferer, VideoSession
from lsinet_monai.inferers.corrections import Corrections
from lsinet_monai.networks import LSINet, fuse_norms, load_checkpoint
from lsinet_monai.utils.error_line import report_input_errors_in_one_line

WAYS = {"in memory": False, "in memory, and carried": True}


def correct(clip: ReadClip, network: LSINet, image_size: int, inferer: SequentialVideoInferer) -> dict[str, np.ndarray]:
    """Correct one frame of a clip in each way: the Dice of the frames near it before, and its change, (2, frames)."""
    own = dict(VideoSession(network, clip.frames, image_size, inferer).propagate())
    before = dice([own[at] for at in sorted(own)], clip.masks)
    bad = np.flatnonzero(before < BAD)
    frame = int(bad[len(bad) // 2] if len(bad) else before.argmin())
    near = [at for at in range(max(0, frame - NEAR), min(len(before), frame + NEAR + 1)) if at != frame]
    changes = {}
    for way, is_carried in WAYS.items():
        session = VideoSession(network, clip.frames, image_size, inferer)
        session.add_mask(frame, clip.masks[frame])
        # Its reach stays: frames within reach have the mask in memory, also those before it.
        with nullcontext() if is_carried else patch.object(Corrections, "carried_to", return_value={}):
            found = dict(session.propagate())
        after = dice([found[at] for at in near], [clip.masks[at] for at in near])
        changes[way] = np.stack([before[near], after - before[near]])
    return changes


def main() -> None:
    report_input_errors_in_one_line()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stills", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True, help="the list of held-out stills")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a model, with or without a mask embedding")
    parser.add_argument("--clips", type=int, default=16)
    options = parser.parse_args()
    loaded, image_size = load_checkpoint(options.checkpoint)
    network = fuse_norms(loaded)
    refine = network.prompt_head is not None
    inferer = SequentialVideoInferer(adjacent="clearest", detect_cuts=True, smoothing=0.35, refine=refine)
    clips = tqdm(still_clips(options.stills, options.names, options.clips), total=options.clips, desc="clips")
    found = [correct(clip, network, image_size, inferer) for clip in clips]
    print(f"| a mask acts | change | change of frames below {BAD} |\n|---|---|---|")
    for way in WAYS:
        before, change = np.concatenate([changes[way] for changes in found], axis=1)
        low = before < BAD
        low_change = change[low].mean() if low.any() else np.nan
        print(f"| {way} | {change.mean():+.3f} | {low_change:+.3f} ({np.count_nonzero(low)} frames) |")


if __name__ == "__main__":
    main()
