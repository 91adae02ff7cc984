"""The demo on real pictures: the shipped model segments clips made from stills that it has not learned from.

Then it is trained for a few steps on twelve other stills, and segments the clips again. Twelve stills are too few to
improve it: this part shows how a training works. Everything is written to ``demo/real/``.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from steps import ROOT, bundle, run

STILLS = "examples/stills"
FOLDER = "demo/real"
CLIPS = f"{FOLDER}/clips"
SPLIT = "TestEasyDataset/Unseen"
FRAMES, SIZE, SEED = 12, (352, 440), 0
EPOCHS, BATCH_SIZE, LEARNING_RATE = 3, 4, 2e-5
SHOWN = (0, 4, 8)  # frames of each clip in the picture
GAP, LABEL = 10, 20  # pixels between two clips, and for the line above each


def segment(name: str, **checkpoint: str) -> None:
    """Write the masks, maps and overlays of the clips to a folder of that name."""
    bundle("inference", "inference", input=f"{CLIPS}/{SPLIT}", output_dir=f"{FOLDER}/{name}", overwrite="true",
           **checkpoint)  # fmt: skip


def draw(dice: dict[str, float]) -> str:
    """Draw frames of each clip with the shipped model's mask and the truth, and return the picture's path.

    Args:
        dice: the mean Dice of each clip by its case.
    """
    from lsinet_monai.data import read_frame, read_mask, read_split
    from lsinet_monai.writers.overlay_drawing import overlay

    clips = read_split(ROOT / CLIPS, SPLIT)
    half = len(clips) // 2  # two clips side by side
    width, height = len(SHOWN) * SIZE[1] // 2, LABEL + SIZE[0] // 2
    picture = Image.new("RGB", (2 * width + GAP, half * height + (half - 1) * GAP), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for number, clip in enumerate(clips):
        assert clip.label is not None
        case = clip.clip_id.rpartition("/")[2]
        masks = sorted((ROOT / FOLDER / "shipped" / "masks" / case).iterdir())
        row = [overlay(read_frame(clip.image[i]), read_mask(masks[i]), read_mask(clip.label[i])) for i in SHOWN]
        column, line = divmod(number, half)
        left, top = column * (width + GAP), line * (height + GAP)
        pen.text((left, top + LABEL // 2), f"clip {number + 1}, Dice {dice[case]:.2f}", "black", font, anchor="lm")
        picture.paste(Image.fromarray(np.hstack(row)).reduce(2), (left, top + LABEL))
    path = f"{FOLDER}/shipped.jpg"
    picture.save(ROOT / path, quality=80)
    return path


def main() -> None:
    shutil.rmtree(ROOT / FOLDER, ignore_errors=True)
    run("lsinet_monai", "stills", CLIPS, f"--stills={STILLS}/segment", f"--frames={FRAMES}",
        f"--size={SIZE[0]}x{SIZE[1]}", f"--seed={SEED}")  # fmt: skip
    segment("shipped")
    bundle("training", "train", "finetune", dataset_dir="", stills_dir=f"{STILLS}/train",
           output_dir=f"{FOLDER}/training", validation_fraction=0, every_frame="true", augment="false",
           max_epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE)  # fmt: skip
    segment("fine_tuned", checkpoint=f"{FOLDER}/training/model.pt")
    maps = [f"{name}={FOLDER}/{name}/maps" for name in ("shipped", "fine_tuned")]
    truth, output = f"{CLIPS}/{SPLIT}/GT", f"{FOLDER}/evaluation"
    run("lsinet_monai", "evaluate", "--predictions", *maps, "--truth", truth, "--output", output)
    scores = json.loads((ROOT / FOLDER / "evaluation" / "scores.json").read_text())
    cases = scores["shipped"]["all"]["cases"]
    picture = draw({case: values["dice_at_0.5"] for case, values in cases.items()})

    print("\nMean Dice at 0.5 on 8 clips made from held-out stills of Kvasir-SEG")
    for name, title in (("shipped", "the shipped model"), ("fine_tuned", "after a few steps on 12 other stills")):
        print(f"  {title:38}{scores[name]['all']['dataset']['dice_at_0.5']:.3f}")
    print("Twelve stills are too few to improve the model. The training shows how one works.")
    print(f"\nPictures (cyan: the shipped model's mask, green: the truth): {picture}")
    print(f"Videos with the masks: {FOLDER}/shipped/overlays/")


if __name__ == "__main__":
    main()
