"""What the memory contributes, and which frames to write to it: trained networks run over whole clips in several ways.

Run from the repository's root; ``docs/experiments/memory.md`` has the commands and their results::

    python -m experiments.memory phantom outputs/corrections/seed11 --clips 4 --frames 1000
    python -m experiments.memory held-out outputs/ways/released/0 --fold 0 --dataset_dir DIR/CVC-ClinicDB
    python -m experiments.memory table outputs/corrections/seed*/memory.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from experiments.clips import FOLDS, ReadClip, held_out_clips, phantom_clips
from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.inferers import MemoryBank, encode_frames
from lsinet_monai.inferers.memory_bank import Forgetting
from lsinet_monai.inferers.sequential import segment_frame
from lsinet_monai.masks import logit_to_probability, uncertainty
from lsinet_monai.metrics import frame_dice
from lsinet_monai.networks import Features, LSINet, load_checkpoint
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.utils.files import atomic_write

TEST_SEED = 3000  # no network was trained on these clips
INTERVAL = 5  # frames from one write to the next


class Way(NamedTuple):
    """How a clip is run."""

    memory_frames: int = 35
    forgetting: Forgetting = "usage"
    looks_ahead: bool = True
    most_uncertain: float = 1.0
    """A frame is written only if its uncertainty (mean entropy in bits) is at most this; the first frame always is."""


PACKAGE = "the package's: 35 frames, usage, look-ahead"
WAYS = {
    PACKAGE: Way(),
    "forgetting as released": Way(forgetting="released"),
    "memory of 1 frame": Way(memory_frames=1),
    "memory of 10 frames": Way(memory_frames=10),
    "writes of certain frames only": Way(most_uncertain=0.6),
    "causal: adjacent is the frame before": Way(looks_ahead=False),
}


def run(
    network: LSINet, image_size: int, features: Sequence[Features], size: tuple[int, int], way: Way
) -> Iterator[np.ndarray]:
    """Segment the frames of a clip in order: yields the probability of each, float32, (H, W)."""
    memory = MemoryBank(way.memory_frames, way.forgetting)
    last = len(features) - 1
    for frame, current in enumerate(features):
        ahead = frame + 1 if frame < last else frame - 1
        adjacent = features[max(0, min(last, ahead if way.looks_ahead else frame - 1))]
        logits = segment_frame(current, adjacent, memory, network, write=False)
        logit = network.upsample_logits(logits, torch.Size((image_size, image_size)))[-1]
        probability = logit_to_probability(logit, size)[0, 0].numpy()
        if frame % INTERVAL == 0 and (memory.is_empty or uncertainty(probability) <= way.most_uncertain):
            memory.write(current.keys, network.values_for_memory(current, logits))
        yield probability


@torch.no_grad()
def measure(folder: Path, clips: Iterable[ReadClip]) -> None:
    """Run clips in every way, and write the mean Dice at 0.5 to ``FOLDER/memory.json``."""
    network, image_size = load_checkpoint(folder / "model.pt")
    rows: list[dict[str, Any]] = []
    for name, frames, masks in clips:
        pieces = (frames_to_tensor([frame], image_size).movedim(1, 0) for frame in frames)
        features = [encode_frames([piece], network)[0] for piece in tqdm(pieces, f"{name}, encoding", len(frames))]
        for label, way in WAYS.items():
            maps = tqdm(
                run(network, image_size, features, masks[0].shape, way), f"{name}, {label}", len(frames), leave=False
            )
            dice = [frame_dice(probability > 0.5, mask) for probability, mask in zip(maps, masks, strict=True)]
            late = dice[-len(dice) // 2 :]
            rows.append({"clip": name, "way": label, "dice": float(np.mean(dice)), "late": float(np.mean(late))})
    with atomic_write(folder / "memory.json") as path:
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    table([folder / "memory.json"])


def table(results: list[Path]) -> None:
    """Print, per way, the mean Dice of clips and of their second halves, and the difference from the package's way."""
    rows = [[*json.loads(path.read_text(encoding="utf-8"))] for path in results]
    clips = {(number, row["clip"]) for number, network in enumerate(rows) for row in network}
    print(f"\n{len(rows)} networks, {len(clips)} clips in all\n")
    print("| | Dice | second half | difference, mean | standard deviation over clips | per network |")
    print("|---|---|---|---|---|---|")
    for label in WAYS:
        of_way = [[row for row in network if row["way"] == label] for network in rows]
        of_package = [[row for row in network if row["way"] == PACKAGE] for network in rows]
        dice, late = (np.mean([row[key] for network in of_way for row in network]) for key in ("dice", "late"))
        per_network = [
            [a["dice"] - b["dice"] for a, b in zip(way, package, strict=True)]
            for way, package in zip(of_way, of_package, strict=True)
        ]
        differences = np.concatenate(per_network)
        means = ", ".join(f"{np.mean(x):+.3f}" for x in per_network)
        spread = f"{differences.mean():+.3f} | {differences.std(ddof=1):.3f} | {means}"
        print(f"| {label} | {dice:.3f} | {late:.3f} | {'| | ' if label == PACKAGE else spread} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("phantom", help="run the network FOLDER/model.pt over long phantom clips")
    command.add_argument("folder", type=Path)
    command.add_argument("--clips", type=int, default=2)
    command.add_argument("--frames", type=int, default=1000)
    command = commands.add_parser(
        "held-out", help="run the network FOLDER/model.pt over the clips that its training held out"
    )
    command.add_argument("folder", type=Path)
    command.add_argument("--dataset_dir", type=Path, required=True)
    command.add_argument("--fold", type=int, choices=range(FOLDS), required=True)
    command = commands.add_parser("table", help="print the results of several networks")
    command.add_argument("results", type=Path, nargs="+")
    arguments = parser.parse_args()
    report_input_errors_in_one_line()
    if arguments.command == "phantom":
        measure(arguments.folder, phantom_clips(arguments.clips, arguments.frames, TEST_SEED))
    elif arguments.command == "held-out":
        measure(arguments.folder, held_out_clips(arguments.dataset_dir, arguments.fold))
    else:
        table(arguments.results)


if __name__ == "__main__":
    main()
