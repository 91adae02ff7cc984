"""How long a person needs to annotate a clip at frame rate, in four ways. The person is simulated, and knows the truth.

    python benchmarks/clip_annotation.py STILLS [--names FILE] [--clips 8] [--frames 250] [--checkpoint FILE]
        [--output FILE]

Each clip is made of one still that the model has not learned from, see lsinet_monai/data/stills. A frame is done when
its mask has an IoU of 0.85 with the truth. If the truth covers less than 0.1% of the frame, an empty mask will do.

- **ours**: the network annotates the clip. The person watches it once, goes to the middle of the longest run of wrong
  frames, clicks until the IoU is 0.90, and spreads the mask; then watches the frames that have changed. Each click is
  at the centre of the largest error. After 8 clicks, or when clicks have taken as long as a polygon would, and the IoU
  is below 0.85, the person draws one. Wrong frames without a polyp are selected from first to last, and cleared.
- **ours, without propagation**: the same, and each mask stays in its frame. The person steps through the clip.
- **polygon**: each frame with a polyp gets a polygon, of as few corners as give an IoU of 0.90.
- **brush**: each frame with a polyp is painted, with a brush a third as wide as the polyp.

Times come from the keystroke-level model of keystrokes.py. Watching takes the time of the frames, at 25 a second. What
the computer needs meanwhile is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from clicks import iou
from keystrokes import CLICK, KEY, POINT, STROKE, STROKE_LENGTH, THINK
from label_app import make_app_inferer, without_specks
from monai.utils import ensure_tuple_rep
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours
from tqdm import tqdm

from lsinet_monai.data import StillClip, find_stills, read_frame, read_mask
from lsinet_monai.formats.shapes import polygon_to_mask
from lsinet_monai.inferers import PromptedFrame, VideoSession
from lsinet_monai.metrics import Click, next_click
from lsinet_monai.networks import LoadedModel, fuse_norms, load_checkpoint
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE

SIZE = (512, 640)
GOAL, CAREFUL = 0.85, 0.90
MOST_CLICKS = 8
SPECK = 0.001  # of the frame
RATE = 25  # frames a second
REACH = 30
ON_SCREEN = 1.6  # pixels of the screen for one of the frame
BRUSH = 40  # pixels of the screen, at least

NEXT_FRAME = KEY
CONFIRM = THINK + KEY
GO_THERE = THINK + POINT + CLICK  # by the timeline
CLICK_THERE = THINK + POINT + CLICK
CLEAR = THINK + KEY
UP_TO_THERE = POINT + CLICK + KEY  # the end of a range, with Shift


class Effort(NamedTuple):
    """What a way of annotating takes for one clip."""

    seconds: float
    frames_touched: int
    clicks: int


def is_done(mask: np.ndarray, truth: np.ndarray) -> bool:
    """Whether a frame needs no more work."""
    if truth.mean() < SPECK and not mask.any():
        return True
    return bool(truth.any()) and iou(mask, truth) >= GOAL


def polygon_seconds(truth: np.ndarray) -> float:
    """The time to draw polygons around all parts of a mask, and to close them."""
    seconds = 0.0
    parts, count = ndimage.label(truth)
    for part in range(1, count + 1):
        seconds += THINK + len(few_corners(parts == part)) * (POINT + CLICK) + KEY
    return seconds


def few_corners(part: np.ndarray) -> np.ndarray:
    """The polygon of fewest corners that follows a part of a mask well enough: (N, 2), x, y."""
    outline = max(find_contours(np.pad(part, 1).astype(float), 0.5), key=len)[:, ::-1] - 0.5
    for tolerance in np.geomspace(np.sqrt(part.sum()), 0.3, 30):
        corners = approximate_polygon(outline, tolerance)[:-1]
        if len(corners) >= 3 and iou(polygon_to_mask(corners, part.shape), part) >= CAREFUL:
            return np.asarray(corners)
    return outline


def brush_seconds(truth: np.ndarray) -> float:
    """The time to paint a mask with a brush a third as wide as the polyp."""
    area = float(truth.sum()) * ON_SCREEN**2
    length = area / max(BRUSH, np.sqrt(area) / 3)
    return THINK + STROKE * max(1.0, length / STROKE_LENGTH)


def by_hand(truths: list[np.ndarray], draw: Callable[[np.ndarray], float]) -> Effort:
    """Draw each frame by hand."""
    seconds = sum(NEXT_FRAME + (draw(truth) + CONFIRM if truth.mean() >= SPECK else 0.0) for truth in truths)
    return Effort(seconds, sum(bool(truth.mean() >= SPECK) for truth in truths), 0)


class Person:
    """Corrects frames by clicks, or by a polygon where clicks do not help."""

    def __init__(self, model: LoadedModel, frames: list[np.ndarray], truths: list[np.ndarray]) -> None:
        self.model, self.frames, self.truths = model, frames, truths
        self.seconds, self.clicks, self.touched = 0.0, 0, 0

    def correct(self, frame: int, mask: np.ndarray) -> np.ndarray:
        """Correct the mask of a frame, without confirming it."""
        truth = self.truths[frame]
        self.touched += 1
        if truth.mean() < SPECK:
            self.seconds += CLEAR
            return truth & False
        prompted = PromptedFrame(self.model.network, self.frames[frame], ensure_tuple_rep(self.model.image_size, 2))
        by_polygon = THINK + KEY + polygon_seconds(truth)
        most = min(MOST_CLICKS, max(1, int(by_polygon / CLICK_THERE)))
        clicks: list[Click] = []
        start, best = mask, mask
        while iou(best, truth) < CAREFUL and len(clicks) < (most if iou(best, truth) < GOAL else MOST_CLICKS):
            click = next_click(mask, truth)
            if click is None:
                break
            clicks.append(click)
            mask = prompted.segment([(c.x, c.y) for c in clicks], [c.label for c in clicks], mask=start)
            best = max(best, mask, key=lambda one: iou(one, truth))
        self.seconds += len(clicks) * CLICK_THERE
        self.clicks += len(clicks)
        if iou(best, truth) >= GOAL:
            return best
        self.seconds += by_polygon
        return truth


def without_propagation(person: Person, masks: list[np.ndarray]) -> Effort:
    """Step through the clip, and correct each frame that is wrong."""
    for frame, mask in enumerate(masks):
        person.seconds += NEXT_FRAME
        if not is_done(mask, person.truths[frame]):
            person.correct(frame, mask)
            person.seconds += CONFIRM
    return Effort(person.seconds, person.touched, person.clicks)


def with_propagation(person: Person, masks: list[np.ndarray], session: VideoSession) -> Effort:
    """Correct the middle of the longest run of wrong frames, spread it, and look again.

    Frames without a polyp around it are cleared in one act, which does not spread.
    """
    masks = list(masks)
    people: set[int] = set()  # frames with a person's mask, which no other one reaches across
    person.seconds += len(masks) / RATE
    while True:
        wrong = [not is_done(mask, truth) for mask, truth in zip(masks, person.truths, strict=True)]
        runs, count = ndimage.label(wrong)
        if not count:
            return Effort(person.seconds, person.touched, person.clicks)
        run = np.flatnonzero(runs == 1 + np.bincount(runs)[1:].argmax())
        frame = int(run[len(run) // 2])
        person.seconds += GO_THERE
        corrected = person.correct(frame, masks[frame])
        person.seconds += CONFIRM
        if person.truths[frame].mean() < SPECK:
            empty, _ = ndimage.label([truth.mean() < SPECK for truth in person.truths])
            stretch = run[empty[run] == empty[frame]]
            person.seconds += UP_TO_THERE * (len(stretch) > 1)
            for other in stretch:
                masks[other] = corrected & False
            people.update(stretch.tolist())
            continue
        masks[frame] = corrected
        before = max((other for other in people if other < frame), default=-1)
        after = min((other for other in people if other > frame), default=len(masks))
        people.add(frame)
        session.add_mask(frame, masks[frame])
        changed = 0
        for found in session.propagate_from(frame):
            if before < found.frame < after and frame in found.carried:
                masks[found.frame] = without_specks(found.probability > 0.5)
                changed += found.change > 0
        person.seconds += changed / RATE


def make_clips(folder: Path, names: Path | None, count: int, length: int) -> Iterator[tuple[str, StillClip]]:
    """Make clips of the first stills."""
    wanted = None if names is None else set(names.read_text(encoding="utf-8").split())
    stills = [still for still in find_stills(folder) if wanted is None or Path(still.image[0]).stem in wanted]
    for number, still in enumerate(itertools.islice(stills, count)):
        assert still.label is not None
        mask = read_mask(still.label[0], still.mask_rule)
        yield Path(still.image[0]).stem, StillClip(read_frame(still.image[0]), mask, SIZE, number, length)


def measure(clip: StillClip, model: LoadedModel) -> dict[str, Effort]:
    """What each way takes for one clip."""
    frames, truths = (list(part) for part in zip(*clip, strict=True))
    inferer = make_app_inferer(model.network)
    session = VideoSession(model.network, frames, model.image_size, inferer, reach=REACH)
    masks = [without_specks(probability > 0.5) for _, probability in session.propagate()]
    wrong = sum(not is_done(mask, truth) for mask, truth in zip(masks, truths, strict=True))
    tqdm.write(f"  {wrong} of {len(frames)} frames are wrong")
    return {
        "ours": with_propagation(Person(model, frames, truths), masks, session),
        "ours, without propagation": without_propagation(Person(model, frames, truths), masks),
        "polygon": by_hand(truths, polygon_seconds),
        "brush": by_hand(truths, brush_seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path)
    parser.add_argument("--names", type=Path, help="a file with the names of the stills to take")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--checkpoint", type=Path, default=shipped_folder("bundle") / MODEL_FILE)
    parser.add_argument("--output", type=Path, help="write the rows as JSON after each clip")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    network, size = load_checkpoint(arguments.checkpoint)
    model = LoadedModel(fuse_norms(network), size)
    rows: list[dict[str, Any]] = []
    clips = make_clips(arguments.stills, arguments.names, arguments.clips, arguments.frames)
    for name, clip in tqdm(clips, unit="clip", total=arguments.clips):
        found = measure(clip, model)
        rows.append({"still": name, "ways": {way: effort._asdict() for way, effort in found.items()}})
        tqdm.write(f"{name}: " + "; ".join(f"{way} {effort.seconds:.0f} s" for way, effort in found.items()))
        if arguments.output:
            arguments.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    total = len(rows) * arguments.frames
    print(f"\n{len(rows)} clips of {arguments.frames} frames\n")
    print("| | seconds a frame | frames touched a clip | clicks a clip | polygons take |\n|---|---|---|---|---|")
    polygons = sum(row["ways"]["polygon"]["seconds"] for row in rows)
    for way in rows[0]["ways"]:
        seconds, touched, clicks = (
            sum(row["ways"][way][key] for row in rows) for key in ("seconds", "frames_touched", "clicks")
        )
        print(
            f"| {way} | {seconds / total:.2f} | {touched / len(rows):.1f} | {clicks / len(rows):.1f} "
            f"| {polygons / seconds:.1f} times as long |"
        )


if __name__ == "__main__":
    main()
