"""How a corrected mask changes the frames around it: the package's way against five others.

Run from the repository's root; ``docs/experiments/corrections.md`` has the commands and their results::

    python -m experiments.corrections train --seed 11 --output outputs/corrections/seed11
    python -m experiments.corrections measure --output outputs/corrections/seed11
    python -m experiments.corrections held-out --output outputs/ways/released/0 --fold 0 --dataset_dir DIR/CVC-ClinicDB
    python -m experiments.corrections table outputs/corrections/seed*

Options after ``--`` are passed to the training, such as ``-- --backbone pvt_v2_b5 --max_epochs 1``.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from experiments.clips import FOLDS, PHANTOM_SIZE, ReadClip, held_out_clips, phantom_clips
from lsinet_monai.data import write_phantom
from lsinet_monai.data.frame_tensors import frames_to_tensor
from lsinet_monai.inferers import VideoSession, encode_frames
from lsinet_monai.inferers.mask_carrying import CarriedMask, blend
from lsinet_monai.masks import has_polyp
from lsinet_monai.metrics import frame_dice
from lsinet_monai.networks import Features, LSINet, load_checkpoint
from lsinet_monai.networks.memory import to_elements
from lsinet_monai.ops import read_memory
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.utils.files import atomic_write

TEST_SEED = 2000  # these clips were used neither to train a network nor to tune a way of carrying a mask
NEAR, REACH = 10, 30  # frames on either side
BAD = 0.6  # frames with a lower Dice are corrected
MEMORY_SPAN = 35 * 5  # frames that the memory spans: every 5th of them is in it

Carried = Iterator[tuple[int, Tensor, Tensor]]  # a frame, the mask carried to it, and the trust in that mask, in [0, 1]


# Other ways to carry a mask -------------------------------------------------------------------------------------------


def copy(network: LSINet, clip: list[Features], mask: Tensor, frames: range) -> Carried:
    """Copy the mask in place."""
    for frame in frames[1:]:
        yield frame, mask, torch.ones_like(mask)


def top_k(network: LSINet, clip: list[Features], mask: Tensor, frames: range) -> Carried:
    """Read the mask as a value, with the memory's keys and weights; the trust is the mask's share of the weights.

    The memory also holds the frames that inference would have written: every 5th of the frames before.
    """
    corrected = clip[frames[0]].keys[0]
    label = F.adaptive_avg_pool2d(mask, corrected.shape[-2:])
    for frame in frames[1:]:
        others = [clip[t].keys[0] for t in range(max(0, frame - MEMORY_SPAN), frame) if t % 5 == 0]
        keys = torch.cat([to_elements(k) for k in (corrected, *others)], 1)
        values = torch.zeros(1, keys.shape[1], 2)
        values[:, : label.numel(), 0] = label.flatten()
        values[:, : label.numel(), 1] = 1
        read = read_memory(to_elements(clip[frame].keys[0]), keys, values).values
        read = read.transpose(1, 2).unflatten(2, corrected.shape[-2:])
        yield frame, _resize(read[:, :1] / read[:, 1:].clamp(min=1e-6), mask), _resize(read[:, 1:], mask)


def offsets(network: LSINet, clip: list[Features], mask: Tensor, frames: range) -> Carried:
    """Move the mask from frame to frame by the mean offset of the alignment's deformable convolution at stride 8."""
    deform, moves = network.alignment.scales[0].deform, []

    def mean_offset(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> None:
        offset, weight = module.offset(arguments[1]).split([144, 72], dim=1)
        offset, weight = offset.unflatten(1, (72, 2)), torch.sigmoid(weight).unsqueeze(2)
        moves.append((offset * weight).sum(1) / weight.sum(1))

    hook = deform.register_forward_pre_hook(mean_offset)
    for frame in frames[1:]:
        network.alignment(clip[frame - frames.step].features, clip[frame].features)
        move = moves.pop()
        height, width = move.shape[-2:]
        move = move.flip(1).movedim(1, 3) * (2 / torch.tensor([width, height]))  # (x, y); affine_grid spans 2 units
        move = _resize(move.movedim(3, 1), mask).movedim(1, 3)
        places = F.affine_grid(torch.eye(2, 3)[None], list(mask.shape), align_corners=False) + move
        mask = F.grid_sample(mask, places, padding_mode="border", align_corners=False)
        yield frame, mask, torch.ones_like(mask)
    hook.remove()


def propagate_labels(network: LSINet, clip: list[Features], mask: Tensor, frames: range) -> Carried:
    """Propagate the mask at stride 8 as label propagation usually does: average it over the best matches.

    Each position takes its 10 best matches within two cells, in the corrected frame and the three frames before.
    """
    shape = clip[0].features[0].shape[-2:]
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    far = ((y.flatten()[:, None] - y.flatten()).abs() > 2) | ((x.flatten()[:, None] - x.flatten()).abs() > 2)
    context = [(_directions(clip[frames[0]]), F.adaptive_avg_pool2d(mask, shape).flatten())]
    for frame in frames[1:]:
        queries = _directions(clip[frame])
        scores = torch.cat([(queries @ keys.T / 0.1).masked_fill(far, -torch.inf) for keys, _ in context], 1)
        best = scores.topk(10, dim=1)
        label = (best.values.softmax(1) * torch.cat([label for _, label in context])[best.indices]).sum(1)
        context = [context[0], *context[1:][-2:], (queries, label)]
        carried = _resize(label.view(1, 1, *shape), mask)
        yield frame, carried, torch.ones_like(carried)


def _directions(features: Features) -> Tensor:
    x = to_elements(features.features[0])[0]
    return F.normalize(x - x.mean(0), dim=1)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


OTHERS: dict[str, Callable[[LSINet, list[Features], Tensor, range], Carried]] = {
    "copied in place": copy,
    "top-k read of the mask": top_k,
    "alignment's offsets": offsets,
    "label propagation": propagate_labels,
}
MEMORY_ONLY, MATCHED = "in memory only (as released)", "matched features (the package)"


# Measuring ------------------------------------------------------------------------------------------------------------


class SegmentedClip(NamedTuple):
    """A clip and the network's own result for it."""

    frames: list[np.ndarray]
    masks: np.ndarray
    own: np.ndarray
    """Probabilities without a correction, (T, H, W)."""


def carry(way: str, network: LSINet, features: list[Features], clip: SegmentedClip, frame: int) -> np.ndarray:
    """Correct one frame, carry its mask in both directions, and blend it with the network's own probabilities."""
    result = clip.own.copy()
    mask = torch.from_numpy(clip.masks[frame]).float()[None, None]
    last = len(clip.frames) - 1
    for frames in (range(frame, min(last, frame + REACH) + 1), range(frame, max(0, frame - REACH) - 1, -1)):
        for other, carried, trust in OTHERS[way](network, features, mask, frames):
            trust = trust * math.exp(-0.5 * (3 * (other - frame) / REACH) ** 2)
            own = torch.from_numpy(clip.own[other])[None, None]
            result[other] = blend(own, [CarriedMask(carried, trust)])[0, 0].numpy()
    return result


def run_session(network: LSINet, image_size: int, clip: SegmentedClip, frame: int, reach: int) -> np.ndarray:
    """Correct one frame in a session, and segment the whole clip again."""
    session = VideoSession(network, clip.frames, image_size, reach=reach)
    session.add_mask(frame, clip.masks[frame])
    return np.stack([probability for _, probability in session.propagate()])


def score(probabilities: np.ndarray, clip: SegmentedClip) -> tuple[np.ndarray, np.ndarray]:
    """Score each frame: its Dice at 0.5 (1 if prediction and truth are empty), and its false-positive pixels."""
    predicted = probabilities > 0.5
    dice = np.array([frame_dice(*pair) for pair in zip(predicted, clip.masks, strict=True)])
    return dice, (predicted & ~clip.masks).sum((1, 2))


def choose(dice: np.ndarray, clip: SegmentedClip, most: int) -> list[int]:
    """Choose frames to correct, evenly over the clip: up to ``most`` with a polyp, and up to ``most`` without."""
    bad = np.flatnonzero(dice < BAD)
    shows = np.array([has_polyp(mask) for mask in clip.masks])
    empty = ~clip.masks.any((1, 2))
    chosen = []
    for kind in (bad[shows[bad]], bad[empty[bad]]):
        at = np.linspace(0, len(kind) - 1, min(most, len(kind))).round().astype(int)
        chosen += [int(frame) for frame in kind[at]]
    return chosen


@torch.no_grad()
def measure(output: Path, clips: Iterable[ReadClip], most: int) -> None:
    """Correct frames one by one in each way, and write the changes in Dice to ``OUTPUT/corrections.json``."""
    network, image_size = load_checkpoint(output / "model.pt")
    rows, seconds, dices = [], dict.fromkeys((MEMORY_ONLY, *OTHERS, MATCHED), 0.0), []
    for name, pictures, masks in clips:
        own = [probability for _, probability in VideoSession(network, pictures, image_size).propagate()]
        clip = SegmentedClip(list(pictures), np.stack(masks), np.stack(own))
        features = [encode_frames([x], network)[0] for x in frames_to_tensor(pictures, image_size)[None].unbind(2)]
        before, false_before = score(clip.own, clip)
        dices.append(before.mean())
        for frame in tqdm(choose(before, clip, most), desc=name, unit="correction"):
            distance = np.abs(np.arange(len(pictures)) - frame)
            near, beyond = (distance > 0) & (distance <= NEAR), distance > NEAR
            for way in seconds:
                start = time.perf_counter()
                if way in OTHERS:
                    after = carry(way, network, features, clip, frame)
                else:
                    after = run_session(network, image_size, clip, frame, REACH if way == MATCHED else 0)
                seconds[way] += time.perf_counter() - start
                dice, false = score(after, clip)
                rows.append(
                    {
                        "way": way,
                        "clip": name,
                        "frame": frame,
                        "empty": not clip.masks[frame].any(),
                        "near": float((dice - before)[near].mean()),
                        "beyond": float((dice - before)[beyond].mean()) if beyond.any() else None,
                        "false_before": int(false_before[near].sum()),
                        "false_after": int(false[near].sum()),
                    }
                )
    with atomic_write(output / "corrections.json") as path:
        content = {"dice": float(np.mean(dices)), "seconds": seconds, "corrections": rows}
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    table([output])


def table(outputs: list[Path]) -> None:
    """Print each figure per way: its mean, minimum and maximum over the networks."""
    results = [json.loads((output / "corrections.json").read_text(encoding="utf-8")) for output in outputs]
    print("mean Dice without corrections:", ", ".join(f"{result['dice']:.2f}" for result in results))
    for empty in (False, True):
        counts = [
            sum(row["empty"] == empty and row["way"] == MATCHED for row in result["corrections"]) for result in results
        ]
        print(f"{'empty corrections' if empty else 'corrections with a polyp'}:", ", ".join(map(str, counts)))
    print("\n| a corrected mask is | near, all | near, polyp | near, empty | false positives removed | beyond |")
    print("|---|---|---|---|---|---|")
    for way in (MEMORY_ONLY, *OTHERS, MATCHED):
        figures = np.array([_figures([row for row in r["corrections"] if row["way"] == way]) for r in results])
        cells = [
            "" if np.isnan(x).any() else f"{_number(x.mean())} ({_number(x.min())} to {_number(x.max())})"
            for x in figures.T
        ]
        print(f"| {way} | " + " | ".join(cells) + " |")


def _number(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # adding 0.0 turns -0.000 into 0.000


def _figures(rows: list[dict]) -> list[float]:
    polyp, empty = ([row for row in rows if row["empty"] == kind] for kind in (False, True))
    near = [np.mean([row["near"] for row in group]) if group else np.nan for group in (rows, polyp, empty)]
    false = [sum(row[key] for row in empty) for key in ("false_before", "false_after")]
    removed = 1 - false[1] / false[0] if false[0] else np.nan
    return [*near, removed, np.mean([row["beyond"] for row in rows if row["beyond"] is not None])]


# Training -------------------------------------------------------------------------------------------------------------


def train(output: Path, seed: int, clips: int, options: list[str]) -> None:
    """Train the demo's network on a phantom with this seed, and save it to ``OUTPUT/model.pt``."""
    if not (output / "phantom" / "TrainDataset").exists():
        partial = output / "phantom.partial"
        shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted run
        write_phantom(partial, clips, 20, PHANTOM_SIZE, seed)
        partial.rename(output / "phantom")
    configs = "['bundle/configs/train.json','bundle/configs/demo.json']"
    command = ["monai.bundle", "run", "training", "--config_file", configs, "--seed", str(seed), "--overwrite", "true"]
    command += ["--dataset_dir", f"{output}/phantom", "--output_dir", f"{output}/training"]
    subprocess.run([sys.executable, "-m", *command, "--model_file", f"{output}/model.pt", *options], check=True)


def main() -> None:
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train", help="make a phantom dataset and train a network on it")
    command.add_argument("--output", type=Path, required=True)
    command.add_argument("--seed", type=int, required=True)
    command.add_argument("--clips", type=int, default=60)
    command = commands.add_parser("measure", help="correct frames of other phantom clips, and measure the change")
    command.add_argument("--output", type=Path, required=True)
    command.add_argument("--clips", type=int, default=8)
    command.add_argument("--frames", type=int, default=70)
    command.add_argument("--most", type=int, default=2, help="corrections of a clip, with and without a polyp each")
    command = commands.add_parser("held-out", help="correct frames of the clips that a fold holds out")
    command.add_argument("--output", type=Path, required=True)
    command.add_argument("--dataset_dir", type=Path, required=True)
    command.add_argument("--fold", type=int, choices=range(FOLDS), required=True)
    command.add_argument("--most", type=int, default=2, help="corrections of a clip")
    command = commands.add_parser("table", help="print the results of several networks")
    command.add_argument("outputs", type=Path, nargs="+")
    arguments = parser.parse_args(sys.argv[1:at])
    report_input_errors_in_one_line()
    if arguments.command == "train":
        train(arguments.output, arguments.seed, arguments.clips, sys.argv[at + 1 :])
    elif arguments.command == "measure":
        measure(arguments.output, phantom_clips(arguments.clips, arguments.frames, TEST_SEED), arguments.most)
    elif arguments.command == "held-out":
        measure(arguments.output, held_out_clips(arguments.dataset_dir, arguments.fold), arguments.most)
    else:
        table(arguments.outputs)


if __name__ == "__main__":
    main()
