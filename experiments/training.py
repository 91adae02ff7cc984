"""Ways to train, compared on the sequences of the training data that each training holds out.

Run from the repository's root; ``docs/experiments/recipe.md`` has the commands and their results::

    python -m experiments.training train --way released --fold 0 --dataset_dir DIR/CVC-ClinicDB --output outputs/ways
    python -m experiments.training table outputs/ways
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, EnsureTyped, Lambda, RandFlipd, RandRotate90d
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from experiments.clips import FOLDS
from lsinet_monai.data import TrainingDataset, TrainingSample
from lsinet_monai.errors import InputError
from lsinet_monai.networks import LSINet
from lsinet_monai.networks.memory import read_from, to_elements
from lsinet_monai.transforms import RandColourd
from lsinet_monai.utils.files import atomic_write

MORE_FRAMES = 2  # in memory, in addition to the one of the released training
MEMORY_KEYS = ("memory", *(f"memory_{number}" for number in range(MORE_FRAMES)))
MASK_KEYS = ("memory_mask", *(f"memory_mask_{number}" for number in range(MORE_FRAMES)))

# All ways change these options of cvc_clinicdb.json; the encoder is smaller than there.
COMMON: dict[str, Any] = {
    "backbone": "pvt_v2_b0", "amp_dtype": "bfloat16", "channels_last": True, "cache_gb": 1,
}  # fmt: skip
RELEASED: dict[str, Any] = {"weighted_bce": False, "drop_path_rate": 0.1, "every_frame": False}
SCHEDULER = "torch.optim.lr_scheduler.OneCycleLR"
STEPS = "@max_epochs * len(@train#dataloader)"
TRANSFORM = "train#dataset#transform"
WAYS: dict[str, dict[str, Any]] = {
    "released": RELEASED,
    "published loss": RELEASED | {"weighted_bce": True},
    "three memory frames": RELEASED
    | {
        "network_def#_target_": "experiments.training.create_network",
        "frame_keys": ["image", "adjacent", *MEMORY_KEYS],
        "mask_keys": ["label", *MASK_KEYS],
        "train#dataset#_target_": "experiments.training.MoreMemoryDataset",
        TRANSFORM: {"_target_": "experiments.training.with_joined_memory", "transforms": "@transforms"},
    },
    "one cycle": RELEASED
    | {
        "lr_scheduler": f"${SCHEDULER}(@optimizer, 0.0006, {STEPS}, pct_start=0.2, cycle_momentum=False)",
        "train#handlers#0#epoch_level": False,
    },
    "no drop path": RELEASED | {"drop_path_rate": 0},
    "no colours": RELEASED
    | {TRANSFORM: {"_target_": "experiments.training.without_colours", "transforms": "@transforms"}},
    "every frame": RELEASED | {"every_frame": True},
    "every frame, no drop path": RELEASED | {"every_frame": True, "drop_path_rate": 0},
    "drop path 0.3": RELEASED | {"drop_path_rate": 0.3},
    "any orientation": RELEASED
    | {TRANSFORM: {"_target_": "experiments.training.with_any_orientation", "transforms": "@transforms"}},
}

Transforms = Sequence[Callable[..., Any] | None]  # as in train.json: None for the one that stills need, without stills


class MoreMemoryNetwork(LSINet):
    """LSINet that trains with N frames in memory: ``memory`` (B, N * 3, H, W) and ``memory_mask`` (B, N, H, W)."""

    def forward(
        self,
        current: Tensor,
        adjacent: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """See :meth:`LSINet.forward`; all frames in memory are read together, as from a memory bank."""
        if adjacent is None or memory is None or memory_mask is None:
            return super().forward(current, adjacent, memory, memory_mask)
        features, adjacent_features = self.encode(current), self.encode(adjacent)
        memory_features = [self.encode(frame) for frame in memory.split(3, 1)]
        masks = memory_mask.split(1, 1)
        values = [self.values_by_mask(x, mask) for x, mask in zip(memory_features, masks, strict=True)]
        read = read_from(features.keys, _join_frames([x.keys for x in memory_features]), _join_frames(values))
        return self.upsample_logits(self.decode(features, adjacent_features, read), current.shape[-2:])


def _join_frames(frames: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    """Join the elements of several frames, scale by scale: from (B, C, h, w) to (B, N * h * w, C)."""
    return [torch.cat([to_elements(x) for x in scale], 1) for scale in zip(*frames, strict=True)]


def create_network(backbone: str, drop_path_rate: float, **_: Any) -> MoreMemoryNetwork:
    """Build the network of the bundle's ``network_def`` with random weights."""
    return MoreMemoryNetwork(backbone, drop_path_rate=drop_path_rate)


class MoreMemoryDataset(TrainingDataset):
    """Training samples with more frames in memory, drawn from all frames before the current one."""

    def __getitem__(self, sample: TrainingSample) -> Any:
        drawn = np.random.default_rng(sample.seed).integers(0, max(sample.current, 1), MORE_FRAMES).tolist()
        in_memory = [sample.memory, *drawn]
        frames, masks = self.clips[sample.clip].image, self.clips[sample.clip].label
        self.transform.set_random_state(seed=sample.seed)
        paths = {"image": frames[sample.current], "adjacent": frames[sample.adjacent]}
        paths |= {key: frames[at] for key, at in zip(MEMORY_KEYS, in_memory, strict=True)}
        mask_paths = {"label": masks and masks[sample.current]}
        mask_paths |= {key: masks and masks[at] for key, at in zip(MASK_KEYS, in_memory, strict=True)}
        return self.transform(paths | mask_paths)


def with_joined_memory(transforms: Transforms) -> Compose:
    """Join the frames in memory and their masks at the end of the bundle's transforms.

    Raises:
        InputError: on a call, the sample also trains on the memory's masks (``every_frame``).
    """

    def join(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if len(data["label"]) > 1:
            raise InputError("every_frame=true cannot be combined with several frames in memory")
        joined = {key: data[key] for key in ("image", "adjacent", "label")}
        joined["memory"] = torch.cat([data[key] for key in MEMORY_KEYS])
        joined["memory_mask"] = torch.cat([data[key] for key in MASK_KEYS])
        return joined

    return Compose([*_without_none(transforms), Lambda(join)])


def with_any_orientation(transforms: Transforms) -> Compose:
    """Add all eight orientations of a picture, equally likely, to the bundle's transforms: an endoscope has no up."""
    keys = ("image", "adjacent", "memory", "label", "memory_mask")
    return Compose(
        [
            *_without_none(transforms),
            RandFlipd(keys, prob=0.5, spatial_axis=0),
            RandRotate90d(keys, prob=0.75, max_k=3),
            EnsureTyped(keys, track_meta=False),
        ]
    )


def without_colours(transforms: Transforms) -> Compose:
    """Leave the changes of brightness, contrast, saturation and sharpness out of the bundle's transforms."""
    return Compose([part for part in _without_none(transforms) if not isinstance(part, RandColourd)])


def _without_none(transforms: Transforms) -> list[Callable[..., Any]]:
    return [transform for transform in transforms if transform is not None]


def train(way: str, number: int, dataset_dir: Path, output: Path, options: list[str]) -> None:
    """Train in one way without one fold, and write the model and the fold's Dice to ``OUTPUT/WAY/FOLD``.

    The number of the fold is also the seed. The Dice of its clips is that after the last epoch.
    """
    folder = output / way.replace(" ", "_") / str(number)
    epochs = json.loads(Path("bundle/configs/cvc_clinicdb.json").read_text(encoding="utf-8"))["max_epochs"]
    settings = COMMON | WAYS[way] | {
        "seed": number, "dataset_dir": dataset_dir, "output_dir": folder, "model_file": folder / "model.pt",
        "val_interval": epochs, "split": {"_target_": "experiments.clips.fold", "clips": "@clips", "number": number},
    }  # fmt: skip
    arguments = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
    configs = "['bundle/configs/train.json','bundle/configs/cvc_clinicdb.json']"
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", configs, *arguments, *options],
        check=True,
    )
    minutes = (time.monotonic() - started) / 60
    dice: dict[str, float] = {}
    for path in folder.glob("events.*"):
        events = EventAccumulator(str(path)).Reload()
        for tag in events.Tags()["scalars"]:
            if tag.startswith("val_dice/"):
                dice[tag.removeprefix("val_dice/")] = events.Scalars(tag)[-1].value
    with atomic_write(folder / "held_out.json") as temporary:
        temporary.write_text(json.dumps({"minutes": minutes, "dice": dice}, indent=1), encoding="utf-8")


def table(output: Path) -> None:
    """Print, per way, the mean Dice over held-out clips and folds, and the difference from the released way."""
    print("| | folds | Dice | per fold | standard deviation | difference | over clips | minutes |")
    print("|---|---|---|---|---|---|---|---|")
    found = {
        way: {
            int(path.parent.name): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((output / way.replace(" ", "_")).glob("*/held_out.json"))
        }
        for way in WAYS
    }
    for way, folds in found.items():
        if not folds:
            continue
        scores = {number: float(np.mean([*result["dice"].values()])) for number, result in folds.items()}
        differences = [
            dice - found["released"][number]["dice"][clip]
            for number, result in folds.items()
            if number in found["released"]
            for clip, dice in result["dice"].items()
        ]
        spread = np.std([*scores.values()], ddof=1) if len(scores) > 1 else float("nan")
        minutes = [result["minutes"] for result in folds.values()]
        print(
            f"| {way} | {len(scores)} | {np.mean([*scores.values()]):.3f} | "
            f"{', '.join(f'{score:.3f}' for score in scores.values())} | {spread:.3f} | "
            + ("| | " if way == "released" else f"{np.mean(differences):+.3f} | {np.std(differences, ddof=1):.3f} | ")
            + f"{min(minutes):.0f} to {max(minutes):.0f} |"
        )

    print("\n| fold, clip held out | " + " | ".join(way for way in found if found[way]) + " |")
    print("|---|" + "---|" * sum(bool(folds) for folds in found.values()))
    for number, result in found["released"].items():
        for clip in result["dice"]:
            dice = [
                folds[number]["dice"][clip] if number in folds else float("nan") for folds in found.values() if folds
            ]
            print(f"| {number}, {clip.split('/')[-1]} | " + " | ".join(f"{value:.3f}" for value in dice) + " |")


def main() -> None:
    """Train or print, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train", help="train in one way without one fold")
    training.add_argument("--way", choices=WAYS, required=True)
    training.add_argument("--fold", type=int, choices=range(FOLDS), required=True)
    training.add_argument("--dataset_dir", type=Path, required=True)
    training.add_argument("--output", type=Path, required=True)
    training.add_argument("options", nargs="*", help="more options of the bundle, after --")
    tabling = verbs.add_parser("table", help="print the results of all trainings")
    tabling.add_argument("output", type=Path)
    arguments = parser.parse_args()
    if arguments.verb == "table":
        table(arguments.output)
    else:
        train(arguments.way, arguments.fold, arguments.dataset_dir, arguments.output, arguments.options)


if __name__ == "__main__":
    main()
