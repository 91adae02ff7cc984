"""What jobs do: the model goes through a video, and corrections go on from the frames that a person drew."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from lib.jobs import Job, Work
from lib.model import ServedModel
from lib.store import LAST_LESION, StoredVideo, VideoStore
from lsinet_monai.data import Video, frames_to_tensor, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.files import whole_file
from lsinet_monai.inferers import ClipState, MemoryBank, SequentialVideoInferer, VideoSession
from lsinet_monai.metrics import LesionLinker, frame_score, mask_change, uncertainty
from lsinet_monai.networks import Features

__all__ = ["Worker"]

_SAVE_FRAMES = 100
_LINKED_FRAMES = 4  # as many as a LesionLinker looks back
_MIN_AREA = 0.001  # of the frame, as where a frame has a polyp
_MOST_CORRECTIONS = 16  # in memory: each costs every frame as much as one of the memory's own


@dataclass
class Worker:
    """Makes the work of jobs.

    Args:
        videos: what is stored.
        model: what is in service when a job begins.
        on_labels: called with a video whose masks are new, in the worker's thread.
        threshold: a pixel belongs to the mask where its probability is above this.
    """

    videos: VideoStore
    model: ServedModel
    on_labels: Callable[[StoredVideo], None]
    threshold: float = 0.5

    def __call__(self, job: Job) -> Work:
        video = self.videos[job.image]
        if job.kind == "annotate":
            return self._annotate(video)
        return self._propagate(video, sorted(video.corrections) if job.frame is None else [job.frame])

    # The model goes through the video --------------------------------------------------------------------------------

    def _annotate(self, video: StoredVideo) -> Work:
        if video.is_final:
            raise InputError(f"'{video.id}' is marked as final: open it again to annotate it")
        mark, model = self.model.load()
        inferer = SequentialVideoInferer()
        progress = _Progress(video.folder / "annotate.pt", mark, inferer)
        linker, count = LesionLinker(), video.frame_count
        state = progress.load(self.model.device)
        if state is None:
            state = inferer.start()
            video.begin_annotation()
        first = progress.next_frame
        before: np.ndarray | None = None
        for frame in range(max(0, first - _LINKED_FRAMES), first):
            labels = video.mask(frame, original=True).labels
            linker.follow(labels)
            before = labels > 0
        linker.next_id = max(linker.next_id, video.next_lesion())
        corrections = video.corrections
        with open_video(video.path) as source:
            for frame, probability in _predict(source, first, model.network, model.image_size, inferer, state):
                mask = _without_specks(probability > self.threshold)
                if frame in corrections:
                    person = video.mask(frame).labels
                    linker.follow(person)
                    labels = _name(mask, person)
                else:
                    labels = _as_bytes(linker(mask))
                numbers = _numbers(probability)
                if before is not None:
                    numbers["changes"] = mask_change(before, labels > 0)
                video.write_prediction("predicted", frame, labels, **numbers)
                before = labels > 0
                if (frame + 1) % _SAVE_FRAMES == 0:
                    video.flush()
                    progress.save(state, frame + 1)
                yield (frame + 1) / count, f"frame {frame + 1} of {count}"
        video.end_annotation(mark)
        progress.path.unlink(missing_ok=True)
        if corrections:
            yield from self._propagate(video, sorted(corrections))
        self.on_labels(video)
        return []

    # Corrections spread ----------------------------------------------------------------------------------------------

    def _propagate(self, video: StoredVideo, frames: list[int]) -> Work:
        """Predict anew the frames that corrected ones act on, and note how much their masks changed."""
        if video.is_final:
            raise InputError(f"'{video.id}' is marked as final: open it again to change it")
        frames = [frame for frame in frames if frame in video.corrections]
        if not frames:
            raise InputError(f"'{video.id}' has no correction to go on from: save a mask first")
        changed: dict[int, float] = {}
        touched: set[int] = set()
        _, model = self.model.load()
        with open_video(video.path) as source:
            for place, frame in enumerate(frames):
                session = VideoSession(model.network, source, model.image_size)
                for other in sorted(video.corrections, key=lambda other: abs(other - frame))[:_MOST_CORRECTIONS]:
                    session.add_mask(other, video.mask(other).labels > 0)
                reached = session.reached_from(frame)
                named = video.mask(frame).labels
                linker, step = LesionLinker(), 0
                for done, (other, probability, _) in enumerate(session.propagate_from(frame), start=1):
                    if step != np.sign(other - frame):  # first backwards, then forwards, each from the person's mask
                        step = np.sign(other - frame)
                        linker = LesionLinker()
                        linker.follow(named)
                        linker.next_id = max(linker.next_id, video.next_lesion())
                    labels = _as_bytes(linker(_without_specks(probability > self.threshold)))
                    change = mask_change(video.mask(other).labels > 0, labels > 0)
                    if change:
                        changed[other] = change
                    video.write_prediction("propagated", other, labels, **_numbers(probability))
                    share = done / max(1, len(reached) - 1)
                    yield (place + share) / len(frames), f"frame {other}, from the correction of frame {frame}"
                touched |= {*reached, reached.stop}
        for frame in sorted(touched - {0, video.frame_count}):
            video.set_change(frame, mask_change(video.mask(frame - 1).labels > 0, video.mask(frame).labels > 0))
        video.flush()
        self.on_labels(video)
        return [{"frame": frame, "change": round(change, 4)} for frame, change in sorted(changed.items())]


def _predict(
    source: Video,
    first: int,
    network: Any,
    image_size: int | list[int],
    inferer: SequentialVideoInferer,
    state: ClipState,
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of a video from one on that can be read, each with its probabilities, float32, (H, W)."""
    device = next(network.parameters()).device
    waiting: deque[tuple[int, tuple[int, int]]] = deque()

    def tensors() -> Iterator[Tensor]:
        for index, _, frame in source.frames(first):
            waiting.append((index, frame.shape[:2]))
            yield frames_to_tensor([frame], image_size).movedim(1, 0).to(device)

    for logits in inferer.stream(tensors(), network, state):
        index, size = waiting.popleft()
        resized = torch.nn.functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
        yield index, torch.sigmoid(resized)[0, 0].cpu().numpy()


def _numbers(probability: np.ndarray) -> dict[str, Any]:
    return {"scores": frame_score(probability), "uncertainty": uncertainty(probability)}


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Drop the parts that by themselves would be no polyp: nobody wants a list of them, or to erase them one by one."""
    parts, _ = ndimage.label(mask, np.ones((3, 3), bool))
    areas = np.bincount(parts.ravel())
    return mask & (areas > _MIN_AREA * mask.size)[parts]


def _as_bytes(labels: np.ndarray) -> np.ndarray:
    """Lesions' ids in 8 bits: after the last one they begin again."""
    return np.where(labels > 0, (labels - 1) % LAST_LESION + 1, 0).astype(np.uint8)


def _name(mask: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Name the parts of a mask, bool, (H, W), after the lesions, uint8, (H, W), of the same frame."""
    linker = LesionLinker()
    linker.follow(named)
    return _as_bytes(linker(mask))


class _Progress:
    """Where an annotation stands: a file from which it goes on, with the same masks, after a restart."""

    def __init__(self, path: Path, model: str, inferer: SequentialVideoInferer) -> None:
        self.path = path
        self.next_frame = 0
        self._model = model
        self._inferer = inferer

    def save(self, state: ClipState, next_frame: int) -> None:
        content = {
            "model": self._model,
            "next_frame": next_frame,
            "frame_index": state.frame_index,
            "memory": state.memory.state_dict(),
            "previous": [list(scales) for scales in state.previous] if state.previous else None,
        }
        with whole_file(self.path) as temporary:
            torch.save(content, temporary)

    def load(self, device: str) -> ClipState | None:
        """The state to go on from, or None if there is none of this model."""
        try:
            content = torch.load(self.path, map_location=device, weights_only=True)
        except FileNotFoundError:
            return None
        if content["model"] != self._model:
            return None
        memory = MemoryBank(self._inferer.memory_frames, self._inferer.forgetting)
        memory.load_state_dict(content["memory"])
        previous = Features(*map(tuple, content["previous"])) if content["previous"] else None
        self.next_frame = content["next_frame"]
        return ClipState(memory, content["frame_index"], previous)
