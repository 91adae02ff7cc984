"""The demo on synthetic pictures: trains a network briefly on a phantom, and segments clips that it has not seen.

It writes only to ``demo/``. The short form takes the same steps with very little data: it tests an installation, and
its scores mean nothing. ``--for-tests`` trains for one epoch of three.
"""

from __future__ import annotations

import argparse
import json
import shutil

from steps import ROOT, bundle, run

CLIPS, FRAMES, SIZE, SEED = 60, 20, "128x160", 7
SHORT_CLIPS, SHORT_FRAMES = 10, 8


def train(folder: str, clips: int, frames: int, epochs: int | None) -> None:
    """Make the phantom and train the demo's network on it, unless they exist."""
    options = {} if epochs is None else {"max_epochs": epochs}
    phantom, partial = ROOT / folder / "phantom", ROOT / folder / "phantom.partial"
    if not phantom.exists():
        shutil.rmtree(partial, ignore_errors=True)  # from an interrupted demo
        run("lsinet_monai", "phantom", f"{folder}/{partial.name}", f"--clips={clips}", f"--frames={frames}",
            f"--size={SIZE}", f"--seed={SEED}")  # fmt: skip
        partial.rename(phantom)
    if not (ROOT / folder / "model.pt").exists():
        bundle("training", "train", "demo", dataset_dir=f"{folder}/phantom", output_dir=f"{folder}/training",
               model_file=f"{folder}/training/model.pt", overwrite="true", **options)  # fmt: skip
        # Only a complete training gets here. An interrupted one leaves its best network so far in training/.
        (ROOT / folder / "training" / "model.pt").rename(ROOT / folder / "model.pt")


def evaluate(folder: str, name: str) -> float:
    """Return the mean Dice of a model file on the held-out clips."""
    output = f"{folder}/evaluation_{name}"
    bundle("evaluating", "train", "evaluate", dataset_dir=f"{folder}/phantom", checkpoint=f"{folder}/{name}.pt",
           output_dir=output, overwrite="true")  # fmt: skip
    scores = json.loads((ROOT / output / "scores.json").read_text())
    return scores["lsinet"]["TestEasyDataset/Unseen"]["dataset"]["dice_at_0.5"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--only-model", action="store_true", help="stop after the training, with demo/model.pt")
    form.add_argument("--for-tests", action="store_true", help="stop after one epoch, with demo/tests/model.pt")
    form.add_argument("--short", action="store_true", help="the same steps in a minute, under demo/short")
    arguments = parser.parse_args()
    folder = "demo/short" if arguments.short else "demo/tests" if arguments.for_tests else "demo"
    clips, frames = (SHORT_CLIPS, SHORT_FRAMES) if arguments.short else (CLIPS, FRAMES)
    train(folder, clips, frames, 1 if arguments.short or arguments.for_tests else None)
    if arguments.only_model or arguments.for_tests:
        return

    from monai.utils import set_determinism

    from lsinet_monai.data import read_split
    from lsinet_monai.metrics import fixed_mask_dice
    from lsinet_monai.networks import LSINet, load_checkpoint, save_model

    phantom = ROOT / folder / "phantom"
    trained = load_checkpoint(ROOT / folder / "model.pt")
    set_determinism(0)
    save_model(LSINet(**trained.network.config), ROOT / folder / "untrained.pt", trained.image_size)
    dice = {name: evaluate(folder, name) for name in ("model", "untrained")}
    held_out = read_split(phantom, "TestEasyDataset/Unseen")
    fixed = fixed_mask_dice(read_split(phantom, "TrainDataset"), held_out)
    bundle("inference", "inference", input=f"{folder}/phantom/TestEasyDataset/Unseen", checkpoint=f"{folder}/model.pt",
           output_dir=f"{folder}/inference", overwrite="true")  # fmt: skip

    print(f"\nMean Dice at 0.5 on {len(held_out)} held-out phantom clips (synthetic; says nothing about real data)")
    print(f"  trained network   {dice['model']:.3f}")
    print(f"  untrained network {dice['untrained']:.3f}")
    print(f"  best fixed mask   {fixed:.3f}")
    for overlay in sorted((ROOT / folder / "inference" / "overlays").rglob("*.*")):
        print(f"Overlay: {overlay.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
