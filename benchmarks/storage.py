"""The size of inference results on disk, in bytes per 1080p frame.

    python benchmarks/storage.py

The frames are enlarged phantom clips; the network is ``demo/model.pt``, which ``make demo-phantom`` trains. The size of
a mask depends on its outline, the size of a map on the network's certainty, and neither on the machine's speed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from PIL import Image
from tqdm import tqdm

from lsinet_monai.data import phantom_clip

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 1080, 1920
EXPORTS = {"summary.json": "summary", "frames.csv": "frames.csv", "coco.json": "COCO, masks as RLE", "cvat.xml": "CVAT"}


def make_clips(folder: Path, clips: int, frames: int) -> None:
    """Write clips as folders of frames, each of another phantom patient."""
    for clip in tqdm(range(clips), desc="making clips", leave=False):
        target = folder / f"clip{clip}"
        target.mkdir(parents=True)
        for index, (frame, _) in enumerate(phantom_clip(frames, (HEIGHT // 8, WIDTH // 8), seed=0, patient=clip)):
            large = Image.fromarray(frame).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            large.save(target / f"{index:06d}.jpg", quality=95)


def infer(frames: Path, checkpoint: Path, output: Path) -> None:
    """Run the bundle's inference with the exports that are measured."""
    options = {"input": frames, "checkpoint": checkpoint, "output_dir": output, "exports": "csv,coco,cvat"}
    flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    command = ["-m", "monai.bundle", "run", "inference", "--config_file", "bundle/configs/inference.json", *flags]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--frames", type=int, default=40, help="frames of each clip")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "demo" / "model.pt")
    arguments = parser.parse_args()
    frames = arguments.clips * arguments.frames
    with tempfile.TemporaryDirectory() as folder:
        clips, output = Path(folder) / "clips", Path(folder) / "output"
        make_clips(clips, arguments.clips, arguments.frames)
        infer(clips, arguments.checkpoint.resolve(), output)

        masks = sorted((output / "masks").rglob("*.png"))
        with_polyp = {path for path in masks if Image.open(path).getextrema()[1]}
        print(f"{frames} frames of {HEIGHT}x{WIDTH}, {len(with_polyp)} with a mask that is not empty\n")
        print("| | bytes per frame | with a mask | empty |")
        print("|---|---:|---:|---:|")
        for kind in ("masks", "maps"):
            size = {path: (output / kind / path.relative_to(output / "masks")).stat().st_size for path in masks}
            groups = (masks, with_polyp, set(masks) - with_polyp)
            means = [f"{fmean(size[path] for path in group):,.0f}" if group else "" for group in groups]
            print(f"| {kind}, PNG | {' | '.join(means)} |")
        for name, title in EXPORTS.items():
            files = [path.read_bytes() for path in output.rglob(name)]
            packed = sum(len(gzip.compress(content)) for content in files) / frames
            print(f"| {title} | {sum(map(len, files)) / frames:,.0f}; by gzip {packed:,.0f} | | |")
        overlays = sum(path.stat().st_size for path in (output / "overlays").rglob("*.mp4"))
        print(f"| overlay, MP4 | {overlays / frames:,.0f} | | |")
        annotations = [a for path in output.rglob("coco.json") for a in json.loads(path.read_bytes())["annotations"]]
        rle = fmean(len(annotation["segmentation"]["counts"]) for annotation in annotations)
        print(f"\nThe RLE of a lesion's mask takes {rle:,.0f} bytes on average, over {len(annotations)} masks.")


if __name__ == "__main__":
    main()
