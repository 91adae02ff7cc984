"""Train a prompt head on the frozen encoder of a model, from pictures with masks, and write both to a model file.

python scripts/train_prompt_head.py bundle/models/model.pt OUT.pt --stills datasets/Kvasir-SEG \
    --held-out bundle/configs/kvasir_seg_held_out.txt --work FOLDER

Each picture is encoded a few times, as it is and as frames of clips that a camera path makes of it, and kept in FOLDER
(0.6 MB a frame). Then clicks are simulated as in RITM (Sofiiuk et al., ICIP 2022): a batch starts from nothing, from a
box, from the model's mask or from a spoiled mask; each round adds a click into the largest error, at its centre or at
random, and trains on the mask that follows. The other weights of the model stay as they are.

An interrupted run continues with the same command.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lsinet_monai.data import Clip, StillClip, find_stills, frames_to_tensor, read_frame, read_held_out, read_mask
from lsinet_monai.data.frames import resize_frame
from lsinet_monai.inferers.prompt_window import Window, choose_window, crop, paste
from lsinet_monai.metrics import next_click
from lsinet_monai.networks import LoadedModel, PromptHead, fuse_norms, load_checkpoint
from lsinet_monai.networks.prompt_head import PROMPT_STRIDE
from lsinet_monai.optimizers import WarmupCosine
from lsinet_monai.utils.files import write_torch_file

ARRAYS = ("pixels", "mask", "stride8", "stride16", "stride32", "logit")
EFFECTS = {"absence": 0, "smoke": 0, "instrument": 0}
CLIP_FRAMES, AT = 60, 30
SMALLEST = 200  # pixels of a mask at the network's size: smaller ones are not learned from
SMALLEST_PART = 150  # pixels of a lesion of several in a frame
MOST_POINTS = 10
DECAY = 0.995  # of the average of the weights
SAVE_STEPS = 50
SURE = 9.0  # the logit of a given mask
WINDOWED = 0.65  # of the batches see windows about small lesions, see lsinet_monai.inferers.prompt_window


class Sample(NamedTuple):
    """A frame and what a round of clicks starts from."""

    pixels: np.ndarray
    """uint8, (H, W, 3), at the network's size."""
    features: list[Tensor]
    truth: np.ndarray
    """bool, (H, W): one lesion, or all of the frame."""
    mask: Tensor
    """(1, H, W), the logit of the mask so far."""
    box: Tensor
    """(4,); zeros for none."""
    still: np.ndarray | None
    """The picture at its own size, for windows; None if ``pixels`` is all that there is."""

    def look(self, window: Window) -> Tensor:
        """The window's pixels as the encoder takes them, (1, 3, H, W)."""
        height, width = self.truth.shape
        picture = self.pixels if self.still is None else self.still
        across, down = picture.shape[1] / width, picture.shape[0] / height
        left, top = window.left * across, window.top * down
        box = left, top, left + window.width * across, top + window.height * down
        pixels = self.pixels
        if window != (0, 0, width, height):
            pixels = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, box))
        return frames_to_tensor([pixels], (height, width)).movedim(1, 0)


def mirror(picture: np.ndarray, index: int) -> np.ndarray:
    """Mirror every second picture."""
    return picture[:, ::-1] if index % 2 else picture


def draw_frame(clip: Clip, index: int, number: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask, uint8, at the network's size: as it is at first, then from a camera's path over it."""
    assert clip.label is not None
    still, mask = read_frame(clip.image[0]), read_mask(clip.label[0], clip.mask_rule)
    if number == 0:
        frame = resize_frame(still, (side, side))
        grey = Image.fromarray(mask.astype(np.uint8) * 255).resize((side, side), Image.Resampling.BILINEAR)
        return mirror(frame, index), mirror(np.asarray(grey), index)
    for attempt in range(6):
        seed = (1000 * number + index) * 7 + attempt
        look = 1.0 if number % 2 else 0.5
        made = StillClip(still, mask, (side, side), seed, CLIP_FRAMES, EFFECTS, look=look)
        frame, visible = made.frame(AT)
        if visible.sum() > SMALLEST:
            break
    return frame, visible.astype(np.uint8) * 255


@torch.no_grad()
def encode_pictures(clips: Sequence[Clip], model: LoadedModel, number: int, folder: Path) -> None:
    """Encode each picture once more, and write the arrays of this pass."""
    side = model.image_size
    assert isinstance(side, int)
    kinds: dict[str, tuple[tuple[int, ...], Any]] = {
        "pixels": ((side, side, 3), np.uint8),
        "mask": ((side, side), np.uint8),
    }
    for stride in (8, 16, 32):
        kinds[f"stride{stride}"] = (32, side // stride, side // stride), np.float16
    kinds["logit"] = (side // 8, side // 8), np.float16
    files = {
        name: np.lib.format.open_memmap(folder / f"{number}_{name}.npy", "w+", kind, (len(clips), *shape))
        for name, (shape, kind) in kinds.items()
    }
    for index, clip in enumerate(tqdm(clips, desc=f"pass {number}", unit="picture")):
        files["pixels"][index], files["mask"][index] = pixels, _ = draw_frame(clip, index, number, side)
        features = model.network.encode(frames_to_tensor([pixels], side)[:, 0].unsqueeze(0))
        for name, scale in zip(ARRAYS[2:5], features.features, strict=True):
            files[name][index] = scale[0].numpy()
        files["logit"][index] = model.network.decode(features, features, features.read_own())[-1][0, 0].numpy()
    for file in files.values():
        file.flush()
    (folder / f"{number}.done").touch()


def draw_sample(passes: Sequence[dict[str, np.ndarray]], clips: Sequence[Clip], rng: np.random.Generator) -> Sample:
    """Draw a frame, the lesion to segment in it, and what to start from."""
    while True:
        number = int(rng.integers(len(passes)))
        arrays = passes[number]
        index = int(rng.integers(len(arrays["mask"])))
        truth = arrays["mask"][index] > 127
        if truth.sum() >= SMALLEST:
            break
    parts, _ = ndimage.label(truth)
    large = np.flatnonzero(np.bincount(parts.ravel())[1:] > SMALLEST_PART) + 1
    is_part = len(large) > 1 and rng.random() < 0.5
    if is_part:
        truth = parts == rng.choice(large)
    side = len(truth)
    mask, box = torch.full((1, side, side), -SURE), torch.zeros(4)
    start = rng.random()
    if start < 0.35 and not is_part:
        logit = torch.from_numpy(np.array(arrays["logit"][index], np.float32))[None, None]
        mask = F.interpolate(logit, (side, side), mode="bilinear")[0]
    elif 0.35 <= start < 0.45:
        spoiled = ndimage.shift(truth.astype(np.uint8), rng.normal(0, 12, 2), order=0) > 0
        change = ndimage.binary_dilation if rng.random() < 0.5 else ndimage.binary_erosion
        spoiled = change(spoiled, iterations=int(rng.integers(3, 16)))
        mask = (torch.from_numpy(spoiled)[None].float() - 0.5) * 2 * SURE
    elif 0.45 <= start < 0.6:
        y, x = np.nonzero(truth)
        corners = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        extent = np.tile(corners[2:] - corners[:2], 2)
        box = torch.from_numpy(corners + rng.normal(0, 0.05, 4) * extent).float()
    features = [torch.from_numpy(np.array(arrays[name][index], np.float32)) for name in ARRAYS[2:5]]
    still = np.ascontiguousarray(mirror(read_frame(clips[index].image[0]), index)) if number == 0 else None
    return Sample(np.array(arrays["pixels"][index]), features, truth, mask, box, still)


class Training:
    """The head, its average, and the optimiser.

    Args:
        folder: where the state is kept.
        steps: the number of steps in all.
        learning_rate: the highest.
        seed: of the weights.
    """

    def __init__(self, folder: Path, steps: int, learning_rate: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.file = folder / f"head_{steps}_{seed}.pt"
        self.head = PromptHead().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.head).eval()
        self.optimizer = torch.optim.AdamW(self.head.parameters(), learning_rate, weight_decay=0.02)
        self.schedule = WarmupCosine(self.optimizer, 40, steps)
        self.steps = 0
        if self.file.is_file():
            state = torch.load(self.file, weights_only=True)
            for name in ("head", "average", "optimizer", "schedule"):
                getattr(self, name).load_state_dict(state[name])
            self.steps = state["steps"]

    def save(self) -> None:
        """Write the state."""
        state = {name: getattr(self, name).state_dict() for name in ("head", "average", "optimizer", "schedule")}
        write_torch_file({**state, "steps": self.steps}, self.file)

    def step(self, logit: Tensor, truth: Tensor) -> float:
        """Learn from a round: logit (B, 1, h, w), truth (B, 1, H, W), 0 or 1. Returns the loss."""
        logit = F.interpolate(logit, truth.shape[-2:], mode="bilinear")
        probability = logit.sigmoid()
        common = (probability * truth).sum((1, 2, 3))
        union = (probability + truth - probability * truth).sum((1, 2, 3))
        loss = 2 * F.binary_cross_entropy_with_logits(logit, truth) + (1 - (common + 1) / (union + 1)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        decay = min(DECAY, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.head.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)
        self.steps += 1
        return loss.item()


class Batch:
    """Samples, the clicks on them, and their masks so far.

    Args:
        samples: the samples, at the network's size.
        rng: the source of randomness.
    """

    def __init__(self, samples: Sequence[Sample], rng: np.random.Generator) -> None:
        self.samples, self.rng = samples, rng
        self.features = [torch.stack(scale) for scale in zip(*(sample.features for sample in samples), strict=True)]
        self.truth = torch.from_numpy(np.stack([sample.truth for sample in samples])).float()[:, None]
        self.box = torch.stack([sample.box for sample in samples])
        self.canvas = torch.stack([sample.mask for sample in samples])
        self.points = torch.zeros(len(samples), MOST_POINTS, 2)
        self.labels = torch.full((len(samples), MOST_POINTS), -1)
        self.size = (self.truth.shape[-2], self.truth.shape[-1])
        # A whole batch of rounds sees windows, or none does.
        self.sees_windows = rng.random() < WINDOWED

    def click(self, number: int) -> None:
        """Add a click to each sample, into its largest error."""
        for i, sample in enumerate(self.samples):
            if number == 0 and self.box[i].any() and self.rng.random() < 0.7:
                continue  # the box alone
            rng = self.rng if self.rng.random() < 0.5 else None
            click = next_click(self.canvas[i, 0].numpy() > 0, sample.truth, rng)
            if click is not None:
                self.points[i, number], self.labels[i, number] = torch.tensor([click.x, click.y]), click.label

    def windows(self) -> list[Window]:
        """The part of each frame that the next mask is computed in."""
        height, width = self.size
        found = []
        for i in range(len(self.samples)):
            if not self.sees_windows or self.rng.random() < 0.1:
                found.append(Window(0, 0, width, height))
                continue
            inside = self.points[i][self.labels[i] == 1].tolist()
            box = self.box[i].tolist() if self.box[i].any() else None
            found.append(choose_window(self.canvas[i, 0].numpy() > 0, inside, box))
        return found

    def inputs(self, windows: Sequence[Window]) -> tuple[Tensor, dict[str, Any], Tensor]:
        """What the head gets of the windows: frames; features, points and so on; and the truth there."""
        height, width = self.size
        corner = torch.tensor([[window.left, window.top] for window in windows])
        zoom = torch.tensor([[width / window.width, height / window.height] for window in windows])
        points = (self.points - corner[:, None]) * zoom[:, None]
        is_outside = ((points < 0) | (points > torch.tensor([width, height]))).any(-1)
        has_box = self.box.any(1, keepdim=True)
        prompts = {
            "features": [crop(scale, windows, self.size) for scale in self.features],
            "points": points,
            "labels": self.labels.masked_fill(is_outside, -1),
            "box": torch.where(has_box, (self.box - corner.repeat(1, 2)) * zoom.repeat(1, 2), 0.0),
            "mask": F.avg_pool2d(crop(self.canvas.sigmoid(), windows, self.size), PROMPT_STRIDE),
        }
        frames = [sample.look(window) for sample, window in zip(self.samples, windows, strict=True)]
        return torch.cat(frames), prompts, crop(self.truth, windows, self.size)

    def take(self, logit: Tensor, windows: Sequence[Window]) -> None:
        """Take the logits of the windows, (B, 1, h, w), into the masks so far."""
        enlarged = F.interpolate(logit, self.size, mode="bilinear")
        rows = [paste(self.canvas[i : i + 1], enlarged[i : i + 1], window) for i, window in enumerate(windows)]
        self.canvas = torch.cat(rows)


def train(training: Training, draw: Callable[[np.random.Generator], Sample], steps: int, size: int, seed: int) -> None:
    """Train until all steps are done, in batches of ``size`` samples; each round of clicks is a step."""
    progress = tqdm(total=steps, initial=training.steps, unit="step")
    while training.steps < steps:
        rng = np.random.default_rng((seed, training.steps))
        batch = Batch([draw(rng) for _ in range(size)], rng)
        for number in range(int(rng.choice([2, 3, 4, 6, 8], p=[0.3, 0.3, 0.2, 0.1, 0.1]))):
            batch.click(number)
            windows = batch.windows()
            frames, prompts, truth = batch.inputs(windows)
            training.head.train()
            logit = training.head(
                detail=training.head.see_frame(frames.contiguous(memory_format=torch.channels_last)), **prompts
            )
            progress.set_postfix(loss=f"{training.step(logit, truth):.3f}")
            progress.update()
            batch.take(logit.detach(), windows)
            if training.steps % SAVE_STEPS == 0:
                training.save()
            if training.steps >= steps:
                break


def check_work(folder: Path, made_from: dict[str, Any]) -> None:
    """Make the folder of encoded frames, or end the program if it belongs to another network or other pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "made_from.json"
    if note.is_file():
        if json.loads(note.read_text(encoding="utf-8")) != made_from:
            sys.exit(f"error: {folder} has frames of another network or other pictures: choose another --work")
    else:
        note.write_text(json.dumps(made_from), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the model file whose encoder the head works on")
    parser.add_argument("finished", help="the model file to write")
    parser.add_argument("--stills", required=True, help="pictures with masks")
    parser.add_argument("--held-out", help="a file with the names of pictures not to learn from")
    parser.add_argument("--work", type=Path, required=True, help="a folder for encoded frames and the state")
    parser.add_argument("--passes", type=int, default=5, help="how often each picture is encoded")
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    network, image_size = load_checkpoint(arguments.model)
    held_out = read_held_out(arguments.held_out) if arguments.held_out else []
    clips = [clip for clip in find_stills(arguments.stills) if Path(clip.image[0]).stem not in held_out]
    if not isinstance(image_size, int) or image_size % 32:
        sys.exit(f"error: {arguments.model} takes frames of {image_size}: this script needs one side, a multiple of 32")
    check_work(arguments.work, {"network": network.fingerprint(), "pictures": [clip.clip_id for clip in clips]})
    model = LoadedModel(fuse_norms(network), image_size)
    for number in range(arguments.passes):
        if not (arguments.work / f"{number}.done").exists():
            encode_pictures(clips, model, number, arguments.work)
    passes = [
        {name: np.load(arguments.work / f"{number}_{name}.npy", mmap_mode="r") for name in ARRAYS}
        for number in range(arguments.passes)
    ]
    training = Training(arguments.work, arguments.steps, arguments.learning_rate, arguments.seed)
    train(training, partial(draw_sample, passes, clips), arguments.steps, arguments.batch, arguments.seed)
    training.save()
    network.add_prompt_head()
    assert network.prompt_head is not None
    network.prompt_head.load_state_dict(training.average.state_dict())
    state = network.state_dict()
    for name, value in state.items():
        if name.startswith("prompt_head.") and value.ndim > 1:
            state[name] = value.half()  # vectors and statistics stay as they are
    content = {"model": state, "network": network.config, "image_size": image_size}
    write_torch_file(content, arguments.finished, durable=True)
    print(f"wrote {arguments.finished}: to ship it, see scripts/finish_model.py's last line")


if __name__ == "__main__":
    main()
