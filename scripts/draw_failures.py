"""Draw where the shipped model fails on the stills of ``examples/stills``: the worst masks, and masks of no polyp.

python scripts/draw_failures.py bundle/docs/failures.jpg
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image, ImageDraw
from steps import ROOT

from lsinet_monai.data import StillClip, find_stills, frames_to_tensor, read_frame, read_mask, resize_frame
from lsinet_monai.data.stills import EFFECTS
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.networks import load_checkpoint
from lsinet_monai.writers.overlay_drawing import overlay

SHOWN, SIDE, HEADING = 4, 240, 16
NO_EFFECTS = dict.fromkeys(EFFECTS, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--threshold", type=float, default=0.5, help="a pixel above this probability is polyp")
    arguments = parser.parse_args()
    network, image_size = load_checkpoint(ROOT / "bundle" / "models" / "model.pt")

    def segment(frame: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = network(frames_to_tensor([frame], image_size)[:, 0][None])
        return (logit_to_probability(logits, frame.shape[:2])[0, 0] > arguments.threshold).numpy()

    stills = [clip for part in ("segment", "train") for clip in find_stills(ROOT / "examples" / "stills" / part)]
    pairs = [(read_frame(clip.image[0]), read_mask(clip.label[0], clip.mask_rule)) for clip in stills if clip.label]
    names = [clip.clip_id.partition("/")[2] for clip in stills]
    masks = [segment(frame) for frame, _ in pairs]
    dice = [
        2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask, (_, truth) in zip(masks, pairs, strict=True)
    ]
    worst = np.argsort(dice)[:SHOWN]
    pictures = [(f"{names[n][:12]}..., Dice {dice[n]:.2f}", overlay(pairs[n][0], masks[n], pairs[n][1])) for n in worst]
    crops, without_polyp = [], 0
    for number, (frame, truth) in enumerate(pairs):
        cut, polyp = StillClip(frame, truth, (352, 352), number, 1, NO_EFFECTS, empty=True, look=0).frame(0)
        if polyp.any():
            continue
        without_polyp += 1
        if (mask := segment(cut)).any():
            crops.append((mask.sum(), f"{names[number][:12]}..., no polyp", overlay(cut, mask)))
    crops.sort(key=lambda crop: -crop[0])
    print(f"mean Dice {np.mean(dice):.3f}; {len(crops)} of {without_polyp} places without a polyp have a mask")
    pictures += [crop[1:] for crop in crops[:SHOWN]]

    sheet = Image.new("RGB", (SHOWN * SIDE, 2 * (SIDE + HEADING)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (title, picture) in enumerate(pictures):
        x, y = number % SHOWN * SIDE, number // SHOWN * (SIDE + HEADING)
        pen.text((x + 3, y + 2), title, fill="black")
        sheet.paste(Image.fromarray(resize_frame(picture, (SIDE, SIDE))), (x, y + HEADING))
    sheet.save(arguments.output, quality=85)


if __name__ == "__main__":
    main()
