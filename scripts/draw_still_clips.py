"""Draw frames of clips made from stills, with the mask's outline and the effects that each frame shows.

python scripts/draw_still_clips.py STILLS_DIR docs/still_clips.jpg --names NAME [NAME ...]
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image, ImageDraw

from lsinet_monai.data import StillClip, find_stills, read_frame
from lsinet_monai.data.mask_files import read_mask

SIDE = 176
FRAMES = range(0, 60, 7)
HEADING = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills_dir")
    parser.add_argument("output")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    clips = find_stills(arguments.stills_dir, only=arguments.names)
    sheet = Image.new("RGB", (len(FRAMES) * SIDE, len(clips) * (SIDE + HEADING)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, clip in enumerate(clips):
        assert clip.label is not None
        frame, mask = read_frame(clip.image[0]), read_mask(clip.label[0], clip.mask_rule)
        drawn = StillClip(frame, mask, (SIDE, SIDE), arguments.seed + row)
        for column, index in enumerate(FRAMES):
            place = column * SIDE, row * (SIDE + HEADING)
            effects = ", ".join(drawn.effects_at(index))
            pen.text((place[0] + 3, place[1] + 2), f"{index}: {effects}" if effects else str(index), fill="black")
            sheet.paste(outlined(*drawn.frame(index)), (place[0], place[1] + HEADING))
    sheet.save(arguments.output, quality=82)


def outlined(frame: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Draw the outline of a mask into a frame."""
    inside = mask.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(mask, step, axis)
    frame = frame.copy()
    frame[mask & ~inside] = (0, 255, 0)
    return Image.fromarray(frame)


if __name__ == "__main__":
    main()
